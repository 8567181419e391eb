"""The interface of all outputs: what a run tells them while it goes on, and at its end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tsserv.ping.address import HostPort
from tsserv.ping.connection import Connection
from tsserv.ping.counts import Counts
from tsserv.ping.offset import Offset
from tsserv.ping.result import Outage, Result


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
    #: ``ok``, ``warning`` or ``critical``.
    level: str


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
