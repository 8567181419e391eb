"""What a run tells while it goes on, and at its end: the interface of everything that shows or writes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tsserv.ping.connection import Connection
from tsserv.ping.conversation import Result
from tsserv.ping.figures import Tally
from tsserv.ping.offset import Offset


@dataclass
class Summary:
    """A run, when it is over."""

    #: Host and port, as the user gave them.
    target: str
    #: The first connection; ``None`` if there has been none.
    connection: Connection | None
    tally: Tally
    offset: Offset
    #: How long it took.
    seconds: float
    #: What ended it before its time, or is wrong with all of it.
    error: str
    #: Of the thresholds and of what was lost: ``ok``, ``warning`` or ``critical``.
    level: str


class Output:
    """Shows nothing."""

    def connected(self, connection: Connection) -> None:
        """There is a new connection."""

    def result(self, result: Result) -> None:
        """It is known what became of a probe."""

    def overdue(self, number: int) -> None:
        """The time of a probe is over, and it has not been answered."""

    def end(self, summary: Summary) -> None:
        """The run is over."""


class Outputs(Output):
    """
    Several at once: if one of them ends the run, the others are still told what has happened.

    :param outputs: are told in this order.
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
    """Return bytes of somebody else as text that does nothing to a terminal."""
    text = data.decode(errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def server_time(result: Result) -> str:
    """Return the time as it stands in the stamp; empty if there is none."""
    return "" if result.stamp is None else printable(result.stamp[1:-2])


def say(line: str) -> None:
    """
    Write a line to standard output.

    :raises KeyboardInterrupt: if nobody reads it any more: that ends the run, and what is said after
        it goes nowhere.
    """
    encoding = sys.stdout.encoding
    try:
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise KeyboardInterrupt from None
