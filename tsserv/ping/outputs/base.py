"""The interface of all outputs: what a run tells them while it goes on, and at its end."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tsserv.ping.address import HostPort
from tsserv.ping.connection import Connection
from tsserv.ping.counts import Counts
from tsserv.ping.offset import Offset
from tsserv.ping.result import Outage, Result
from tsserv.ping.verdict import Thresholds, Value, level


@dataclass
class Summary:
    """A finished run."""

    target: HostPort
    #: The first connection; ``None`` if there was none.
    connection: Connection | None
    counts: Counts
    offset: Offset
    #: How long probes were sent.
    seconds: float
    #: What ended the run early, or went wrong throughout; empty if nothing did.
    error: str
    thresholds: Thresholds

    @property
    def values(self) -> dict[str, Value]:
        """What the thresholds judge, with the names of :data:`verdict.UNITS`; without what is unknown."""
        counts = self.counts
        values = {"loss": Value(self.loss, self.loss)}
        if statistics := counts.rtts.statistics():
            values["rtt"] = Value(statistics["mean"], statistics["mean"])
        if best := self.offset.best:
            values["offset"] = Value(best.low / 1e6, best.high / 1e6)
        tls = self.connection and self.connection.tls
        if tls and tls.expires is not None:
            days = (tls.expires - time.time()) / 86400
            values["expiry"] = Value(days, days)
        return values

    @property
    def loss(self) -> float:
        """The percentage of probes that were sent in vain: 100 if there was no connection."""
        counts = self.counts
        if not counts.sent:
            return 0 if self.connection else 100
        return 100 * (counts.sent - counts.answered - counts.pending) / counts.sent

    @property
    def level(self) -> str:
        """The level of the run: ``ok``, ``warning`` or ``critical``."""
        return level(self.values, self.counts, self.thresholds, error=bool(self.error))


class Output:
    """
    Shows a run.  This base class shows nothing.

    :param options: of the command line.
    """

    #: The option that selects it, and its help text.  It takes the name of a file if :attr:`to_file` is true;
    #: the others write to standard output, one of them at a time.
    option = ""
    help = ""
    to_file = False

    def __init__(self, options: argparse.Namespace) -> None:
        pass

    def connected(self, connection: Connection) -> None:
        """Take note of a new connection."""

    def result(self, result: Result) -> None:
        """Show the result of a probe."""

    def overdue(self, number: int) -> None:
        """Show that a probe has not been answered within the timeout."""

    def ended(self, reason: str) -> None:
        """Show that the connection ended, and that a new one will be made."""

    def restored(self, outage: Outage) -> None:
        """Show that the service answers again."""

    def end(self, summary: Summary) -> None:
        """Show the finished run."""


class Outputs(Output):
    """
    Several outputs as one.  If one of them ends the run, the others are still told.

    :param outputs: in the order in which they are told.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs

    def connected(self, connection: Connection) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.connected(connection))

    def result(self, result: Result) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.result(result))

    def overdue(self, number: int) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.overdue(number))

    def ended(self, reason: str) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.ended(reason))

    def restored(self, outage: Outage) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.restored(outage))

    def end(self, summary: Summary) -> None:
        """Tell all of them."""
        with suppress(KeyboardInterrupt):
            self._tell(lambda output: output.end(summary))

    def _tell(self, tell: Callable[[Output], None]) -> None:
        interrupted = False
        for output in self._outputs:
            try:
                tell(output)
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            raise KeyboardInterrupt


def printable(data: bytes) -> str:
    """Return received bytes as text without control characters, which could manipulate a terminal."""
    text = data.decode(errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def server_time(result: Result) -> str:
    """Return the text of the stamp without its brackets; empty if there is no stamp."""
    return "" if result.stamp is None else printable(result.stamp[1:-2])
