"""The interface of all outputs: what a run tells them while it goes on, and at its end."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tsserv.ping.address import Endpoint
from tsserv.ping.connection import Connection
from tsserv.ping.counts import Counts
from tsserv.ping.offset import Offset
from tsserv.ping.result import Outage, Result
from tsserv.ping.verdict import Thresholds, Value, level


@dataclass
class Summary:
    """What a run measures of one target: so far, and in the end."""

    target: Endpoint
    thresholds: Thresholds
    counts: Counts = field(default_factory=Counts)
    offset: Offset = field(default_factory=Offset)
    #: The first connection, and the latest; ``None`` if there was none.
    connection: Connection | None = None
    latest: Connection | None = None
    #: How long probes were sent; known in the end.
    seconds: float = 0.0
    #: What ended the run early, or went wrong throughout; empty if nothing did.
    error: str = ""
    #: Whether that was that a connection could not be made.
    unreachable: bool = False

    @property
    def name(self) -> str:
        """The target as text for other encodings: arguments of the command line may hold surrogates."""
        return str(self.target).encode(errors="backslashreplace").decode()

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


class CannotListen(Exception):
    """An output cannot serve what it shows; the text says why."""


class Output:
    """
    Shows a run, of one target or of several.  This base class shows nothing.

    :param options: of the command line.
    """

    #: The option that selects it, and its help text.  It takes the name of a file if :attr:`to_file` is true;
    #: the others write to standard output, one of them at a time.
    option = ""
    help = ""
    to_file = False
    #: What it takes if that is no file: the name in the help text, and the parser.
    metavar = ""
    parse: Callable[[str], object] = str
    #: The library that it needs, by its name for pip.
    library = ""
    #: Whether it can show several targets.
    several = True

    def __init__(self, options: argparse.Namespace) -> None:
        pass

    def begin(self, summaries: Sequence[Summary]) -> None:
        """Take note of the targets, before anything else."""

    def connected(self, summary: Summary, connection: Connection) -> None:
        """Take note of a new connection."""

    def result(self, summary: Summary, result: Result) -> None:
        """Show the result of a probe."""

    def overdue(self, summary: Summary, number: int) -> None:
        """Show that a probe has not been answered within the timeout."""

    def ended(self, summary: Summary, reason: str) -> None:
        """Show that the connection ended, and that a new one will be made."""

    def restored(self, summary: Summary, outage: Outage) -> None:
        """Show that the service answers again."""

    def end(self, summaries: Sequence[Summary]) -> None:
        """Show the finished run."""


class Outputs(Output):
    """
    Several outputs as one.  If one of them ends the run, the others are still told.

    :param outputs: in the order in which they are told.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs

    def begin(self, summaries: Sequence[Summary]) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.begin(summaries))

    def connected(self, summary: Summary, connection: Connection) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.connected(summary, connection))

    def result(self, summary: Summary, result: Result) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.result(summary, result))

    def overdue(self, summary: Summary, number: int) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.overdue(summary, number))

    def ended(self, summary: Summary, reason: str) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.ended(summary, reason))

    def restored(self, summary: Summary, outage: Outage) -> None:
        """Tell all of them."""
        self._tell(lambda output: output.restored(summary, outage))

    def end(self, summaries: Sequence[Summary]) -> None:
        """Tell all of them."""
        with suppress(KeyboardInterrupt):
            self._tell(lambda output: output.end(summaries))

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
