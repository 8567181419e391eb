"""A plot of a run: round-trip times and offset over time, and the distribution of the round-trip times."""

from __future__ import annotations

import argparse
from array import array

from tsserv.ping.outputs.base import Output, Summary
from tsserv.ping.result import Result

# An SVG with more points than this has them as a bitmap: browsers would take minutes to draw the shapes.
_MOST_SHAPES = 5000

_BINS = 60  # of the histogram


class Plot(Output):
    """
    Draws the plot at the end of the run.

    :raises ImportError: if matplotlib is not installed.
    :raises OSError: if the file cannot be written.
    """

    option = "plot"
    help = "draw the run, as .svg or .png"
    to_file = True

    def __init__(self, options: argparse.Namespace) -> None:
        from matplotlib.figure import Figure  # takes half a second to import, so only for this option

        self._figure = Figure(figsize=(8, 10), layout="constrained", facecolor="white")
        self._path = options.plot
        self._path.open("ab").close()  # fail now rather than after the run
        # Times in seconds since 1970, values in milliseconds.
        self._rtts = _Series()
        self._offsets = _Series()
        self._uncertainties = array("d")
        self._ways = _Series()
        self._backs = array("d")
        self._way_uncertainties = array("d")
        self._failed = array("d")

    def result(self, result: Result) -> None:
        """Remember a probe."""
        sent = result.sent / 1e9
        if result.outcome == "answered" and result.rtt is not None:
            self._rtts.add(sent, result.rtt / 1e6)
        elif result.outcome != "pending":
            self._failed.append(sent)
        if result.measurement is not None:
            offset, _, there, back = result.measurement
            self._offsets.add(sent, offset.middle / 1e6)
            self._uncertainties.append(offset.uncertainty / 1e6)
            self._ways.add(sent, there.middle / 1e6)
            self._backs.append(back.middle / 1e6)
            self._way_uncertainties.append(there.uncertainty / 1e6)

    def end(self, summary: Summary) -> None:
        """Draw the plot and write the file."""
        begin = min([*self._rtts.times, *self._failed], default=0.0)
        rasterized = len(self._rtts.times) + len(self._failed) > _MOST_SHAPES
        points = {"marker": ".", "rasterized": rasterized}
        figure = self._figure
        # Arguments of the command line may hold surrogates, and a "$" is not the beginning of a formula.
        target = str(summary.target).encode(errors="backslashreplace").decode()
        figure.suptitle(f"tsserv-ping {target}", parse_math=False)
        rtt, ways, offset, distribution = figure.subplots(4)
        rtt.plot(self._rtts.since(begin), self._rtts.values, linewidth=0.5, **points)
        failed = [time - begin for time in self._failed]
        whole_height = rtt.get_xaxis_transform()
        rtt.vlines(failed, 0, 1, color="red", linewidth=0.8, transform=whole_height, rasterized=rasterized)
        rtt.set(xlabel="seconds (red: lost or altered)", ylabel="round-trip time, ms", ylim=(0, None))
        for values, label in ((self._ways.values, "there"), (self._backs, "back")):
            ways.errorbar(
                self._ways.since(begin),
                values,
                yerr=self._way_uncertainties,
                linestyle="none",
                elinewidth=0.5,
                label=label,
                **points,
            )
        ways.set(xlabel="seconds", ylabel="each way, ms", xlim=rtt.get_xlim(), ylim=(0, None))
        if self._ways.times:
            ways.legend(loc="upper left")
        offset.errorbar(
            self._offsets.since(begin),
            self._offsets.values,
            yerr=self._uncertainties,
            linestyle="none",
            elinewidth=0.5,
            **points,
        )
        offset.set(xlabel="seconds", ylabel="server's clock ahead, ms", xlim=rtt.get_xlim())
        distribution.hist(self._rtts.values, bins=_BINS)
        distribution.set(xlabel="round-trip time, ms", ylabel="probes")
        figure.savefig(self._path)


class _Series:
    """Values with their times."""

    def __init__(self) -> None:
        self.times = array("d")
        self.values = array("d")

    def add(self, time: float, value: float) -> None:
        self.times.append(time)
        self.values.append(value)

    def since(self, begin: float) -> list[float]:
        """Return the times relative to ``begin``."""
        return [time - begin for time in self.times]
