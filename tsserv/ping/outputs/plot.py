"""A plot of a run: round-trip times, ways and offset over time, and a histogram of the round-trip times."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import ceil, inf
from typing import NamedTuple

from tsserv.ping.distribution import Distribution
from tsserv.ping.offset import Measurement
from tsserv.ping.outputs.base import Output, Summary
from tsserv.ping.result import Result

# An SVG with more points than this has them as a bitmap: browsers would take minutes to draw the shapes.
_MOST_SHAPES = 5000

# How many points are kept: more than an image has columns.
_MOST_POINTS = 20_000

_MOST_BINS = 200  # of the histogram


class Point(NamedTuple):
    """One probe in the plot."""

    sent: float  # seconds since 1970
    rtt: float  # milliseconds; infinite if it was lost or altered
    measurement: Measurement | None


class Points:
    """
    A bounded number of points: if there are more, one stands for each group of consecutive ones.

    It is that with the longest round-trip time, so peaks and losses stay.
    """

    def __init__(self) -> None:
        self._kept: list[Point] = []
        self._size = 1  # of the groups
        self._longest: Point | None = None  # of the group that is not complete
        self._count = 0  # of its points

    def add(self, point: Point) -> None:
        """Add the next point."""
        if self._longest is None or point.rtt > self._longest.rtt:
            self._longest = point
        self._count += 1
        if self._count < self._size:
            return
        self._kept.append(self._longest)
        self._longest = None
        self._count = 0
        if len(self._kept) == _MOST_POINTS:
            pairs = zip(self._kept[::2], self._kept[1::2], strict=True)
            self._kept = [max(pair, key=lambda point: point.rtt) for pair in pairs]
            self._size *= 2

    def __call__(self) -> list[Point]:
        """Return the points."""
        return self._kept if self._longest is None else [*self._kept, self._longest]


def bins(distribution: Distribution) -> int:
    """Return how many bins a histogram should have, by the rule of Freedman and Diaconis."""
    spread = distribution.percentile(75) - distribution.percentile(25)
    width = 2 * spread / len(distribution) ** (1 / 3)
    whole = distribution.percentile(100) - distribution.percentile(0)
    return min(max(ceil(whole / width), 1), _MOST_BINS) if width else 1


class Plot(Output):
    """
    Draws the plot at the end of the run.

    :raises ImportError: if matplotlib is not installed.
    :raises OSError: if the file cannot be written.
    """

    option = "plot"
    help = "draw the run, as .svg or .png"
    to_file = True
    library = "matplotlib"
    several = False

    def __init__(self, options: argparse.Namespace) -> None:
        from matplotlib.figure import Figure  # takes half a second to import, so only for this option

        self._figure = Figure(figsize=(8, 10), layout="constrained", facecolor="white")
        self._path = options.plot
        self._path.open("ab").close()  # fail now rather than after the run
        self._points = Points()

    def result(self, summary: Summary, result: Result) -> None:
        """Remember a probe."""
        if result.outcome != "pending":
            answered = result.outcome == "answered" and result.rtt is not None
            rtt = result.rtt / 1e6 if answered and result.rtt is not None else inf
            self._points.add(Point(result.sent / 1e9, rtt, result.measurement))

    def end(self, summaries: Sequence[Summary]) -> None:
        """Draw the plot and write the file."""
        [summary] = summaries
        points = self._points()
        begin = min((point.sent for point in points), default=0.0)
        style = {
            "linestyle": "none",
            "elinewidth": 0.5,
            "marker": ".",
            "rasterized": len(points) > _MOST_SHAPES,
        }
        figure = self._figure
        # A "$" is not the beginning of a formula.
        figure.suptitle(f"tsserv-ping {summary.name}", parse_math=False)
        rtt, ways, offset, distribution = figure.subplots(4)
        answered = [point for point in points if point.rtt < inf]
        times = [point.sent - begin for point in answered]
        rtt.errorbar(times, [point.rtt for point in answered], **style)
        failed = [point.sent - begin for point in points if point.rtt == inf]
        rtt.vlines(failed, 0, 1, color="red", linewidth=0.8, transform=rtt.get_xaxis_transform())
        rtt.set(ylabel="round-trip time, ms\n(red: lost or altered)")
        measured = [(point.sent - begin, point.measurement) for point in answered if point.measurement]
        times = [time for time, _ in measured]
        for axes, label, bounds in (
            (ways, "there", [measurement.there for _, measurement in measured]),
            (ways, "back", [measurement.back for _, measurement in measured]),
            (offset, "offset", [measurement.offset for _, measurement in measured]),
        ):
            middles = [each.middle / 1e6 for each in bounds]
            axes.errorbar(
                times, middles, yerr=[each.uncertainty / 1e6 for each in bounds], label=label, **style
            )
        ways.set(ylabel="each way, ms")
        ways.legend(loc="upper left")
        offset.set(xlabel="seconds", ylabel="server's clock ahead, ms")
        for axes in (ways, offset):
            axes.set_xlim(rtt.get_xlim())
        for axes in (rtt, ways):
            axes.set_ylim(bottom=0)
        rtts = summary.counts.rtts
        if rtts.buckets:
            milliseconds = [time / 1000 for time in rtts.buckets]
            distribution.hist(milliseconds, bins=bins(rtts), weights=list(rtts.buckets.values()))
        distribution.set(xlabel="round-trip time, ms", ylabel="probes")
        for axes in (rtt, ways, distribution):
            axes.margins(y=0.1)
        figure.savefig(self._path)
