"""Levels and exit statuses: how monitoring judges a run."""

from __future__ import annotations

from typing import NamedTuple

from tsserv.ping.counts import Counts

OK, WARNING, CRITICAL = "ok", "warning", "critical"


class Thresholds(NamedTuple):
    """Limits of the mean round-trip time in milliseconds; ``None`` if there is no limit."""

    warning: float | None = None
    critical: float | None = None

    def level(self, time: float) -> str:
        """Return the level of a round-trip time in milliseconds."""
        if self.critical is not None and time > self.critical:
            return CRITICAL
        if self.warning is not None and time > self.warning:
            return WARNING
        return OK


def level(counts: Counts, thresholds: Thresholds, *, error: bool) -> str:
    """
    Return the level of a run, from its mean round-trip time and its counters.

    :param error: whether an error ended the run.
    """
    if not counts.answered:
        return CRITICAL
    by_time = thresholds.level(counts.rtts.statistics()["mean"])
    return WARNING if by_time == OK and (error or not counts.complete) else by_time


def exit_status(level: str, counts: Counts) -> int:
    """Return the exit status of a run that had a connection: 1 if nothing was answered, as with ``ping``."""
    if level == CRITICAL and counts.answered:
        return 2
    return 0 if level == OK else 1


#: The exit status for wrong options, and for a run without a connection.
USAGE, NO_CONNECTION = 2, 3

#: The exit statuses of a Nagios plugin (Monitoring Plugins development guidelines, "Plugin return codes").
NAGIOS = {OK: 0, WARNING: 1, CRITICAL: 2, "unknown": 3}


def nagios_line(level: str, text: str, performance: str = "") -> str:
    """Return the output line of a Nagios plugin."""
    # A "|" begins the performance data.
    line = f"TSSERV {level.upper()} - {text.replace('|', '/')}"
    return f"{line} | {performance}" if performance else line
