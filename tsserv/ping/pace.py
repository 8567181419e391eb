"""When the probes of a steady run are due."""

from __future__ import annotations

import time
from itertools import count as count_from

from tsserv.ping.offset import Offset

# How much earlier or later than at the interval a probe may be sent, in nanoseconds.
_REACH = 500_000_000


class Pace:
    """
    The number of the next probe, and when to send it.

    :param interval: between two probes, in nanoseconds.
    :param count: the number of probes; ``None`` if there is no last one.
    :param delay: before the first probe, in nanoseconds.
    """

    def __init__(self, interval: int, count: int | None, delay: int) -> None:
        self.interval = interval
        self._numbers = count_from(1) if count is None else iter(range(1, count + 1))
        #: The number of the next probe; ``None`` after the last.
        self.number = next(self._numbers, None)
        #: When it is due, by the monotonic clock in nanoseconds.
        self.due = time.monotonic_ns() + delay

    def advance(self) -> None:
        """Go on to the next probe; intervals missed during a pause are skipped."""
        self.number = next(self._numbers, None)
        self.due = max(self.due + self.interval, time.monotonic_ns())

    def aimed(self, offset: Offset) -> int:
        """Return when to send the next probe, near the time when it is due, when it tells most."""
        planned = time.time_ns() + self.due - time.monotonic_ns()
        return self.due + offset.aim(planned, min(self.interval // 2, _REACH)) - planned
