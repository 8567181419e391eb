"""One of the two ways, there and back: how long it took, and how often it was delayed."""

from __future__ import annotations

from tsserv.ping.drift import Bounds


class Way:
    """
    Summarises how long one way took.

    Each time is known only within bounds.  Their middle is right if both ways take the same time when nothing
    delays them.  A time counts as delayed if it is longer than the shortest one beyond any doubt, whether
    or not the ways take the same time.
    """

    def __init__(self) -> None:
        self._count = 0
        self._total = 0
        self._middles: Bounds | None = None  # the shortest and the longest
        # Of all times, the one with the lowest upper bound: every longer lower bound is a delay.
        self._fastest: Bounds | None = None
        #: How many times were delayed, and the bounds of the longest delay, in nanoseconds.
        self.delayed = 0
        self.longest_delay: Bounds | None = None

    def add(self, time: Bounds) -> None:
        """Add the bounds of one time, in nanoseconds."""
        middle = time.middle
        self._count += 1
        self._total += middle
        low, high = self._middles or (middle, middle)
        self._middles = Bounds(min(low, middle), max(high, middle))
        if self._fastest is None or time.high < self._fastest.high:
            self._fastest = time
        if time.low > self._fastest.high:
            self.delayed += 1
            delay = Bounds(time.low - self._fastest.high, time.high - self._fastest.low)
            if self.longest_delay is None or delay.middle > self.longest_delay.middle:
                self.longest_delay = delay

    def statistics(self) -> dict[str, float]:
        """Return min, mean and max in milliseconds; empty if there is no time."""
        if self._middles is None:
            return {}
        return {
            "min": self._middles.low / 1e6,
            "mean": self._total / self._count / 1e6,
            "max": self._middles.high / 1e6,
        }
