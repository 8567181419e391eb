"""What a run means to monitoring: levels and exit statuses."""

from __future__ import annotations

from typing import NamedTuple

from tsserv.ping.figures import Tally

OK, WARNING, CRITICAL = "ok", "warning", "critical"


class Thresholds(NamedTuple):
    """Round-trip times in milliseconds, above which it is too long; ``None`` if none is."""

    warning: float | None = None
    critical: float | None = None

    def level(self, time: float) -> str:
        """Return the level of a time in milliseconds."""
        if self.critical is not None and time > self.critical:
            return CRITICAL
        if self.warning is not None and time > self.warning:
            return WARNING
        return OK


def level(tally: Tally, thresholds: Thresholds, *, error: bool) -> str:
    """
    Return the level of a run: of its mean round-trip time, and of what was lost.

    :param error: whether something else went wrong.
    """
    if not tally.answered:
        return CRITICAL
    by_time = thresholds.level(tally.rtts.figures()["mean"])
    return WARNING if by_time == OK and (error or not tally.complete) else by_time


def exit_status(level: str, tally: Tally) -> int:
    """Return the status of a run that had a connection, like ``ping``: 1 if nothing was answered."""
    if level == CRITICAL and tally.answered:
        return 2
    return 0 if level == OK else 1


#: The status if the options are wrong, and if there was no connection.
USAGE, NO_CONNECTION = 2, 3

#: The statuses of a Nagios plugin (Monitoring Plugins development guidelines, "Plugin return codes").
NAGIOS = {OK: 0, WARNING: 1, CRITICAL: 2, "unknown": 3}


def nagios_line(level: str, text: str, performance: str = "") -> str:
    """Return the line of a Nagios plugin."""
    # A bar in the text would begin the performance data.
    line = f"TSSERV {level.upper()} - {text.replace('|', '/')}"
    return f"{line} | {performance}" if performance else line
