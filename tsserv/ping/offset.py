"""The offset of the server's clock from ours, from stamps and the times of probes and answers."""

from __future__ import annotations

from typing import NamedTuple

from tsserv.ping.drift import Bounds, DriftingOffset, most_drift
from tsserv.ping.reading import Reading, read

_SECOND = 10**9  # in nanoseconds

_QUARTER = 15 * 60 * _SECOND  # of an hour

# Time zones in use, in quarters of an hour east of UTC: whole hours, and others in the IANA database.
_ZONES = sorted([*range(-48, 57, 4), -38, -14, -10, 14, 18, 22, 23, 26, 35, 38, 42, 51, 55])

# A measurement so soon after the previous one is skipped if it teaches little: a flood has thousands.
_SOON = 10_000_000  # nanoseconds


class Measurement(NamedTuple):
    """What one stamp says.  All values are in nanoseconds."""

    #: The bounds of the offset from this stamp alone, and from all stamps so far.
    offset: Bounds
    best: Bounds
    #: How long the probe took to the server, and its answer back, from this stamp and the offset that all
    #: stamps so far allow; their sum is the round-trip time.
    there: Bounds
    back: Bounds

    @property
    def fine(self) -> bool:
        """Whether the stamp is fine enough to tell how long each way took."""
        rtt = self.there.low + self.back.high
        return self.offset.uncertainty <= rtt


class Offset:
    """
    Estimates the offset over one run.

    The server makes a stamp after the probe is sent and before the answer arrives, so each stamp gives bounds
    for the offset.  Fast answers and fine stamps give narrow bounds.  The offset lies within all of them.
    """

    def __init__(self) -> None:
        #: The bounds from all stamps together; ``None`` until a stamp could be read.
        self.best: Bounds | None = None
        #: The time zone assumed for stamps without one, in quarters of an hour east of UTC; ``None`` until
        #: there is such a stamp.
        self.zone: int | None = None
        self._drifting: DriftingOffset | None = None
        # Its bounds, and at what time.
        self._now: Bounds | None = None
        self._at = 0
        # The shortest round-trip time.
        self._fastest = 0
        # The last stamp: stamps of whole seconds repeat.
        self._stamp = b""
        self._reading: Reading | None = None

    @property
    def drift(self) -> Bounds | None:
        """The bounds of the rate at which the offset grows, in ppb; ``None`` until a stamp could be read."""
        return None if self._drifting is None else self._drifting.rate

    def add(self, stamp: bytes, sent: int, rtt: int) -> Bounds | None:
        """
        Take one answer into account.

        :param sent: when its probe was sent, in nanoseconds since 1970 by our clock.
        :param rtt: its round-trip time, in nanoseconds.
        :return: the bounds from this stamp alone; ``None`` if its format is not recognised.
        """
        if stamp != self._stamp:
            self._stamp, self._reading = stamp, read(stamp)
        reading = self._reading
        if reading is None:
            return None
        bounds = Bounds(reading.earliest - (sent + rtt), reading.latest - sent)
        if not reading.zoned:
            if self.zone is None:
                self.zone = min(_ZONES, key=lambda zone: abs(bounds.middle - zone * _QUARTER))
            east = self.zone * _QUARTER
            bounds = Bounds(bounds.low - east, bounds.high - east)
        self._fastest = min(self._fastest or rtt, rtt)
        self._combine(bounds, sent + rtt, rtt)
        return bounds

    def measurement(self, bounds: Bounds, rtt: int) -> Measurement:
        """
        Return what the last stamp says.

        :param bounds: as :meth:`add` returned them.
        :param rtt: the round-trip time, in nanoseconds.
        """
        assert self._now is not None
        best = _wider(self._now, most_drift(_SOON + rtt))
        # By our clock, the server made the stamp at (time of the stamp - offset).
        there = Bounds(max(bounds.low + rtt - best.high, 0), min(bounds.high - best.low, rtt))
        return Measurement(bounds, best, there, Bounds(rtt - there.high, rtt - there.low))

    def aim(self, planned: int, reach: int) -> int:
        """
        Return when to send a probe in order to learn most about a clock that tells whole seconds.

        If the offset is in the middle of its bounds, the probe will reach the server when the second changes.
        So the answer tells which half of the bounds the offset is in.

        :param planned: when to send otherwise, in nanoseconds since 1970 by our clock.
        :param reach: how much earlier or later the result may be, in nanoseconds.
        """
        if self.zone is None or self._now is None or self._drifting is None:
            return planned
        arrival = planned + self._fastest // 2
        server = arrival + self._now.middle + self._drifting.rate.middle * (arrival - self._at) // _SECOND
        shift = (_SECOND // 2 - server) % _SECOND - _SECOND // 2
        return planned + shift if abs(shift) <= reach else planned

    def _combine(self, bounds: Bounds, at: int, rtt: int) -> None:
        """Update the best bounds with those from a stamp that was made at most ``rtt`` before ``at``."""
        if self._now is not None and 0 <= at - self._at < _SOON:
            width = self._now.high - self._now.low
            low, high = self._now.low + width // 8, self._now.high - width // 8
            if bounds.low < low and bounds.high > high and bounds.high - bounds.low > width:
                return
        drift = most_drift(rtt)  # between the stamp and the arrival of the answer
        measured = _wider(bounds, drift)
        # If measurements contradict each other, a clock was set, and the earlier ones are void.  The times of
        # answers that arrive together may be some microseconds out of order.
        if self._drifting is None or not self._drifting.measure(measured, max(at, self._at)):
            self._drifting = DriftingOffset(measured, at)
            self._at = at
        self._at = max(at, self._at)
        self._now = now = self._drifting.offset
        self.best = Bounds(max(now.low, bounds.low), min(now.high, bounds.high))


def _wider(bounds: Bounds, margin: int) -> Bounds:
    return Bounds(bounds.low - margin, bounds.high + margin)


def zone_name(zone: int) -> str:
    """Return the name of a time zone, given in quarters of an hour east of UTC."""
    hours, quarters = divmod(abs(zone), 4)
    return f"UTC{'-' if zone < 0 else '+'}{hours:02d}:{quarters * 15:02d}"
