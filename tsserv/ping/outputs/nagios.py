"""One line for Nagios and what descends from it, with performance data."""

from __future__ import annotations

from tsserv.ping.outputs.base import Output, Summary, say
from tsserv.ping.outputs.summary import offset_text
from tsserv.ping.verdict import Thresholds, nagios_line


class Nagios(Output):
    """
    Writes the line when the run is over.

    Times and losses have the labels of ``check_ping`` and ``check_icmp``, ``rta`` and ``pl``, which graphs
    are made for.

    :param thresholds: of the mean round-trip time.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds

    def end(self, summary: Summary) -> None:
        """Write it."""
        tally = summary.tally
        text = f"{summary.target}: {summary.error or f'{tally.answered} of {tally.sent} answered'}"
        lost = tally.sent - tally.answered - tally.pending
        performance = []
        if figures := tally.rtts.figures():
            warning, critical = ("" if limit is None else f"{limit:.10g}" for limit in self._thresholds)
            text += f", rta {figures['mean']:.3f} ms"
            performance = [
                f"rta={figures['mean']:.3f}ms;{warning};{critical};0",
                f"rtmin={figures['min']:.3f}ms;;;0",
                f"rtmax={figures['max']:.3f}ms;;;0",
            ]
        performance.append(f"pl={100 * lost / max(tally.sent, 1):.0f}%;0;;0;100")
        if summary.offset.best is not None:
            text += f", offset {offset_text(summary.offset.best)}"
            performance.append(f"offset={summary.offset.best.middle / 1e9:.6f}s")
        say(nagios_line(summary.level, text, " ".join(performance)))
