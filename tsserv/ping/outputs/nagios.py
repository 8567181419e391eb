"""One line for Nagios and compatible monitoring, with performance data."""

from __future__ import annotations

from collections.abc import Sequence

from tsserv.ping.outputs.base import Output, Summary
from tsserv.ping.outputs.summary import offset_text
from tsserv.ping.streams import write_line
from tsserv.ping.verdict import nagios_line


class Nagios(Output):
    """
    Writes the line at the end of the run.

    The labels ``rta`` (mean round-trip time) and ``pl`` (packet loss) are those of ``check_ping`` and
    ``check_icmp``, for which there are graph templates.
    """

    option = "nagios"
    help = "write one line for Nagios [--count 5]"
    several = False

    def end(self, summaries: Sequence[Summary]) -> None:
        """Write the line."""
        [summary] = summaries
        counts = summary.counts
        text = f"{summary.target}: {summary.error or f'{counts.answered} of {counts.sent} answered'}"
        thresholds = summary.thresholds
        performance = []
        if statistics := counts.rtts.statistics():
            text += f", rta {statistics['mean']:.3f} ms"
            performance = [
                f"rta={statistics['mean']:.3f}ms;{thresholds.performance('rtt')};0",
                f"rtmin={statistics['min']:.3f}ms;;;0",
                f"rtmax={statistics['max']:.3f}ms;;;0",
            ]
        limits = thresholds.performance("loss")
        performance.append(f"pl={summary.loss:.0f}%;{'0;' if limits == ';' else limits};0;100")
        if summary.offset.best is not None:
            text += f", offset {offset_text(summary.offset.best)}"
            limits = thresholds.performance("offset")
            performance.append(f"offset={summary.offset.best.middle / 1e6:.3f}ms;{limits}".rstrip(";"))
        if "expiry" in summary.values:
            days = summary.values["expiry"].low
            text += f", certificate expires in {days:.0f} days"
            performance.append(f"expiry={days:.1f};{thresholds.performance('expiry')}".rstrip(";"))
        write_line(nagios_line(summary.level, text, " ".join(performance)))
