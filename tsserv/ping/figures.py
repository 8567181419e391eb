"""What a run comes to: counts, and how the round-trip times are distributed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from math import sqrt


class Distribution:
    """
    Times, each kept to the nearest microsecond, so that a run of days takes no more memory than its
    times are different.
    """

    def __init__(self) -> None:
        #: How often each time came, by microseconds.
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

    def figures(self) -> dict[str, float]:
        """
        Return min, median, mean, p90, p99, max, standard deviation and jitter, in milliseconds.

        The median and the percentiles are the smallest time that so many per cent of all do not exceed.
        The jitter is the mean difference of one time and the next.

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

        figures = {
            "min": times[0],
            "median": percentile(50),
            "mean": mean,
            "p90": percentile(90),
            "p99": percentile(99),
            "max": times[-1],
            "stddev": sqrt(variance),
            "jitter": self._differences / max(self._count - 1, 1) / 1000,
        }
        return {name: value / 1000 for name, value in figures.items()}


@dataclass
class Tally:
    """What became of the probes of one run, and what else came."""

    sent: int = 0
    #: Of those that were sent: answered, answered with other bytes, not answered, and not yet answered
    #: when the user ended the run.
    answered: int = 0
    altered: int = 0
    lost: int = 0
    pending: int = 0
    #: Of those that were answered: after the timeout, in one chunk with the answer before, in several chunks.
    late: int = 0
    merged: int = 0
    split: int = 0
    #: Beyond the first answer to each: more answers, and lines that answer nothing.
    doubled: int = 0
    stray: int = 0
    rtts: Distribution = field(default_factory=Distribution)

    def counts(self) -> dict[str, int]:
        """Return all counts by their names."""
        return {name: value for name, value in vars(self).items() if name != "rtts"}

    @property
    def complete(self) -> bool:
        """Whether every probe was answered once, in time, with its own bytes."""
        return not (self.altered or self.lost or self.late or self.doubled or self.stray)
