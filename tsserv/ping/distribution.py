"""How round-trip times are distributed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from math import sqrt


class Distribution:
    """
    Times, each rounded to the nearest microsecond and counted.

    The memory grows with the number of different times, not with the number of times.
    """

    def __init__(self) -> None:
        #: How often each time occurred, by microseconds.
        self.counts: Counter[int] = Counter()
        self._previous: int | None = None
        self._differences = 0
        self._count = 0

    def add(self, time: int) -> None:
        """Add a time in nanoseconds."""
        self.counts[(time + 500) // 1000] += 1
        if self._previous is not None:
            self._differences += abs(time - self._previous)
        self._previous = time
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def statistics(self) -> dict[str, float]:
        """
        Return min, median, mean, p90, p99, max, standard deviation and jitter, in milliseconds.

        The median and the percentiles are the smallest time that this percentage of all times does not
        exceed.  The jitter is the mean difference between consecutive times.

        :return: empty if there is no time.
        """
        if not self._count:
            return {}
        mean = sum(time * count for time, count in self.counts.items()) / self._count
        variance = sum((time - mean) ** 2 * count for time, count in self.counts.items()) / self._count
        times = sorted(self.counts)
        ranks = list(accumulate(self.counts[time] for time in times))

        def percentile(percent: int) -> int:
            return times[bisect_left(ranks, self._count * percent / 100)]

        microseconds = {
            "min": times[0],
            "median": percentile(50),
            "mean": mean,
            "p90": percentile(90),
            "p99": percentile(99),
            "max": times[-1],
            "stddev": sqrt(variance),
            "jitter": self._differences / max(self._count - 1, 1) / 1000,
        }
        return {name: value / 1000 for name, value in microseconds.items()}
