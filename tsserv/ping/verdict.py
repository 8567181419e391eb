"""Thresholds, levels and exit statuses: how monitoring judges a run."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from tsserv.ping.counts import Counts

OK, WARNING, CRITICAL = "ok", "warning", "critical"

#: What can be judged, and its unit.
UNITS = {"rtt": "ms", "loss": "%", "offset": "ms", "expiry": "days"}

_NUMBER = r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?"


class Value(NamedTuple):
    """A measured value, which is known only within bounds."""

    low: float
    high: float


class Range(NamedTuple):
    """
    A range of values as Nagios writes it (Monitoring Plugins development guidelines, "Threshold and ranges").

    Values outside alert, or inside if it is inverted.
    """

    low: float
    high: float
    inverted: bool
    #: As the user wrote it.
    text: str

    def alerts(self, value: Value) -> bool:
        """Return whether a value alerts beyond doubt: wherever it is within its bounds."""
        if self.inverted:
            return self.low <= value.low and value.high <= self.high
        return value.high < self.low or value.low > self.high


class Limit(NamedTuple):
    """A range for one of :data:`UNITS`."""

    name: str
    range: Range


def limit(text: str) -> Limit:
    """
    Parse ``[NAME=]RANGE``, where the name is ``rtt`` if there is none.

    :raises ArgumentTypeError: if that fails.
    """
    name, _, written = text.rpartition("=")
    name = name or "rtt"
    match = re.fullmatch(rf"(@?)(?:(~|{_NUMBER})?:)?({_NUMBER})?", written)
    if name not in UNITS or match is None or written in ("", "@"):
        raise ArgumentTypeError(
            f"{text!r} is not [NAME=]RANGE: a name is one of {', '.join(UNITS)}, "
            "a range is written HIGH, LOW:, LOW:HIGH, ~:HIGH or @LOW:HIGH"
        )
    low = -inf if match[2] == "~" else float(match[2] or 0)
    high = inf if match[3] is None else float(match[3])
    if low > high:
        raise ArgumentTypeError(f"{text!r} begins above its end")
    return Limit(name, Range(low, high, bool(match[1]), written))


class Thresholds(NamedTuple):
    """The limits of ``--warn`` and ``--crit``."""

    warning: Mapping[str, Range]
    critical: Mapping[str, Range]

    def level(self, values: Mapping[str, Value]) -> str:
        """Return the level of values with the names of :data:`UNITS`."""
        for level, ranges in ((CRITICAL, self.critical), (WARNING, self.warning)):
            if any(name in ranges and ranges[name].alerts(value) for name, value in values.items()):
                return level
        return OK

    def performance(self, name: str) -> str:
        """Return ``WARNING;CRITICAL`` as Nagios' performance data have it."""
        warning, critical = (ranges[name].text if name in ranges else "" for ranges in self)
        return f"{warning};{critical}"


def level(values: Mapping[str, Value], counts: Counts, thresholds: Thresholds, *, error: bool) -> str:
    """
    Return the level of a run, from what was measured and its counters.

    :param values: with the names of :data:`UNITS`.
    :param error: whether an error ended the run.
    """
    if not counts.answered:
        return CRITICAL
    by_limits = thresholds.level(values)
    judged = any("loss" in ranges for ranges in thresholds)  # so that other losses are accepted
    incomplete = counts.imperfect or (counts.lost and not judged)
    return WARNING if by_limits == OK and (error or incomplete) else by_limits


def exit_status(level: str, counts: Counts) -> int:
    """Return the exit status of a run that had a connection: 1 if nothing was answered, as with ``ping``."""
    if level == CRITICAL and counts.answered:
        return 2
    return 0 if level == OK else 1


def joint_status(statuses: Sequence[int]) -> int:
    """Return the exit status of a run with several targets: 3 only if no target had a connection."""
    connected = [status for status in statuses if status != NO_CONNECTION]
    if not connected:
        return NO_CONNECTION
    return max(*connected, int(len(connected) < len(statuses)))


#: The exit status for wrong options, and for a run without a connection.
USAGE, NO_CONNECTION = 2, 3

#: The exit statuses of a Nagios plugin (Monitoring Plugins development guidelines, "Plugin return codes").
NAGIOS = {OK: 0, WARNING: 1, CRITICAL: 2, "unknown": 3}


def nagios_line(level: str, text: str, performance: str = "") -> str:
    """Return the output line of a Nagios plugin."""
    # A "|" begins the performance data.
    line = f"TSSERV {level.upper()} - {text.replace('|', '/')}"
    return f"{line} | {performance}" if performance else line
