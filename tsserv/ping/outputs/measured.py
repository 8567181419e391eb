"""What an exporter shows of one target, in bounded memory."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from tsserv.ping.drift import Bounds
from tsserv.ping.outputs.base import Summary
from tsserv.ping.result import Result

# The upper limits of the buckets of round-trip times, in nanoseconds: 50 microseconds to 10 seconds.
_LIMITS = (50_000, *(step * 10**power for power in range(4, 9) for step in (10, 25, 50)), 10**10)

_SECOND = 10**9


class Histogram:
    """The number of times in each bucket, and their sum."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_LIMITS) + 1)
        self.seconds = 0.0

    def add(self, time: int) -> None:
        """Add a time in nanoseconds."""
        self._counts[bisect_left(_LIMITS, time)] += 1
        self.seconds += time / _SECOND

    def buckets(self) -> list[tuple[str, float]]:
        """Return the upper limit of each bucket in seconds, and how many times are not above it."""
        limits = [*(str(limit / _SECOND) for limit in _LIMITS), "+Inf"]
        return list(zip(limits, accumulate(self._counts), strict=True))


class Measured:
    """
    What an exporter shows of one target.

    :param summary: what the run counts itself.
    """

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self.name = summary.name
        self.counts = summary.counts
        #: Whether the last probe was answered in time; ``None`` before that is known.
        self.up: bool | None = None
        self.lost = 0
        self.rtt = Histogram()
        self.there = Histogram()
        self.back = Histogram()
        #: The largest possible error of the last probe's ways, in nanoseconds; ``None`` if unknown.
        self.way_uncertainty: float | None = None
        self._overdue = 0  # the highest number of a probe that was overdue

    @property
    def offset(self) -> Bounds | None:
        """The offset; ``None`` while the target does not answer, since the clocks drift."""
        return self._summary.offset.best if self.up else None

    @property
    def connect_seconds(self) -> float | None:
        """How long the latest connection took; ``None`` if there was none."""
        latest = self._summary.latest
        return None if latest is None else latest.connect_time / _SECOND

    @property
    def expires(self) -> int | None:
        """When the certificate expires, in seconds since 1970; ``None`` if that is unknown."""
        latest = self._summary.latest
        return None if latest is None or latest.tls is None else latest.tls.expires

    def overdue(self, number: int) -> None:
        """Count a probe as lost; a late answer does not change that."""
        self.up = False
        self.lost += 1
        self._overdue = number

    def result(self, result: Result) -> None:
        """Count a probe that was answered or lost."""
        if result.outcome == "pending":
            return
        self.up = result.outcome == "answered" and not result.late
        # Probes become overdue in the order of their numbers, so this was not counted before.
        if result.outcome == "lost" and result.number > self._overdue:
            self.lost += 1
        if result.outcome == "answered" and result.rtt is not None:
            self.rtt.add(result.rtt)
        if result.measurement is not None and result.measurement.fine:
            self.there.add(result.measurement.there.middle)
            self.back.add(result.measurement.back.middle)
            self.way_uncertainty = result.measurement.there.uncertainty / _SECOND
