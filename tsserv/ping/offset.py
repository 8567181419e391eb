"""The offset of the server's clock from ours, from stamps and the times of probes and answers."""

from __future__ import annotations

from typing import NamedTuple

from tsserv.stamp import Reading, read

# How fast two clocks may drift apart: PHI in RFC 5905, section 7.1.
_DRIFT = 15e-6  # seconds in a second

_QUARTER = 15 * 60 * 10**9  # of an hour, in nanoseconds

# Time zones in use, in quarters of an hour east of UTC: whole hours, and others in the IANA database.
_ZONES = sorted([*range(-48, 57, 4), -38, -14, -10, 14, 18, 22, 23, 26, 35, 38, 42, 51, 55])


class Bounds(NamedTuple):
    """The server's clock is ahead of ours by between ``low`` and ``high`` nanoseconds."""

    low: int
    high: int

    @property
    def middle(self) -> int:
        """The estimate, in nanoseconds."""
        return (self.low + self.high) // 2

    @property
    def uncertainty(self) -> int:
        """The largest possible error of the estimate, in nanoseconds."""
        return (self.high - self.low + 1) // 2


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
        self._at = 0
        # The last stamp: stamps of whole seconds repeat.
        self._stamp = b""
        self._reading: Reading | None = None

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
        self._combine(bounds, sent)
        return bounds

    def _combine(self, bounds: Bounds, at: int) -> None:
        if self.best is not None:
            drift = round(abs(at - self._at) * _DRIFT)
            low, high = max(bounds.low, self.best.low - drift), min(bounds.high, self.best.high + drift)
            # If the bounds contradict each other, a clock has been set, and earlier bounds are void.
            if low <= high:
                bounds = Bounds(low, high)
        self.best = bounds
        self._at = at


def zone_name(zone: int) -> str:
    """Return the name of a time zone, given in quarters of an hour east of UTC."""
    hours, quarters = divmod(abs(zone), 4)
    return f"UTC{'-' if zone < 0 else '+'}{hours:02d}:{quarters * 15:02d}"
