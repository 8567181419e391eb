"""One line for Nagios and compatible monitoring, with performance data."""

from __future__ import annotations

import argparse

from tsserv.ping.outputs.base import Output, Summary
from tsserv.ping.outputs.summary import offset_text
from tsserv.ping.streams import write_line
from tsserv.ping.verdict import Thresholds, nagios_line


class Nagios(Output):
    """
    Writes the line at the end of the run.

    The labels ``rta`` (mean round-trip time) and ``pl`` (packet loss) are those of ``check_ping`` and
    ``check_icmp``, for which there are graph templates.
    """

    option = "nagios"
    help = "write one line for Nagios [--count 5]"

    def __init__(self, options: argparse.Namespace) -> None:
        self._thresholds = Thresholds(options.warn, options.crit)

    def end(self, summary: Summary) -> None:
        """Write the line."""
        counts = summary.counts
        text = f"{summary.target}: {summary.error or f'{counts.answered} of {counts.sent} answered'}"
        lost = counts.sent - counts.answered - counts.pending
        performance = []
        if statistics := counts.rtts.statistics():
            warning, critical = ("" if limit is None else f"{limit:.10g}" for limit in self._thresholds)
            text += f", rta {statistics['mean']:.3f} ms"
            performance = [
                f"rta={statistics['mean']:.3f}ms;{warning};{critical};0",
                f"rtmin={statistics['min']:.3f}ms;;;0",
                f"rtmax={statistics['max']:.3f}ms;;;0",
            ]
        performance.append(f"pl={100 * lost / max(counts.sent, 1):.0f}%;0;;0;100")
        if summary.offset.best is not None:
            text += f", offset {offset_text(summary.offset.best)}"
            performance.append(f"offset={summary.offset.best.middle / 1e9:.6f}s")
        write_line(nagios_line(summary.level, text, " ".join(performance)))
