"""How round-trip times are distributed, in bounded memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from math import sqrt

# Significant bits of a time in microseconds.  Times below 2048 microseconds are exact, and longer ones have
# an error of at most 1/2048.  There are 1024 buckets for each doubling of the time, as in HdrHistogram
# (https://hdrhistogram.org), whose Python package needs a compiled core.
_BITS = 11

# From how many times on a percentile is told: fewer have no such share.
_PERCENTILES = {90: 10, 99: 100}


class Distribution:
    """Counts times in buckets; the mean, extremes, standard deviation and jitter are exact."""

    def __init__(self) -> None:
        #: How many times each bucket has, by a time in microseconds that stands for the bucket.
        self.buckets: Counter[int] = Counter()
        self._count = 0
        # All in microseconds, except differences in nanoseconds.
        self._total = 0
        self._squares = 0
        self._least = 0
        self._most = 0
        self._previous: int | None = None
        self._differences = 0

    def add(self, time: int) -> None:
        """Add a time in nanoseconds."""
        rounded = (time + 500) // 1000
        shift = max(rounded.bit_length() - _BITS, 0)
        self.buckets[(rounded >> shift << shift) + (1 << shift >> 1)] += 1
        if self._previous is None:
            self._least = self._most = rounded
        else:
            self._differences += abs(time - self._previous)
            self._least = min(self._least, rounded)
            self._most = max(self._most, rounded)
        self._previous = time
        self._count += 1
        self._total += rounded
        self._squares += rounded * rounded

    def __len__(self) -> int:
        return self._count

    def percentile(self, percent: int) -> float:
        """
        Return the smallest time that this percentage of all times does not exceed, in milliseconds.

        There has to be a time.
        """
        times = sorted(self.buckets)
        ranks = list(accumulate(self.buckets[time] for time in times))
        time = times[bisect_left(ranks, self._count * percent / 100)]
        return min(max(time, self._least), self._most) / 1000

    def statistics(self) -> dict[str, float]:
        """
        Return min, median, mean, max, p90, p99, standard deviation and jitter, in milliseconds.

        The jitter is the mean difference between consecutive times.

        :return: empty if there is no time; without percentiles for which there are too few.
        """
        if not self._count:
            return {}
        mean = self._total / self._count
        # The numerator is computed with whole numbers, which lose nothing.
        variance = (self._squares * self._count - self._total**2) / self._count**2
        return {
            "min": self._least / 1000,
            "median": self.percentile(50),
            "mean": mean / 1000,
            "max": self._most / 1000,
            **{
                f"p{percent}": self.percentile(percent)
                for percent, enough in _PERCENTILES.items()
                if self._count >= enough
            },
            "stddev": sqrt(variance) / 1000,
            "jitter": self._differences / max(self._count - 1, 1) / 1e6,
        }
