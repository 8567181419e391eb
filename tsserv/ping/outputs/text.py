"""Lines for a reader: what happens, and the summary."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

from tsserv.ping.connection import Connection
from tsserv.ping.conversation import Result
from tsserv.ping.outputs.base import Output, Summary, say, server_time
from tsserv.ping.outputs.summary import offset_text, summary_lines
from tsserv.ping.tls import expiry
from tsserv.ping.verdict import CRITICAL, WARNING, Thresholds

# Select Graphic Rendition of ECMA-48.
_RED, _YELLOW = 31, 33
_COLOURS = {WARNING: _YELLOW, CRITICAL: _RED}


def colourful(stream: TextIO) -> bool:
    """Return whether a stream takes colours: a terminal, unless its user wants none (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Text(Output):
    """
    Writes lines to standard output, in colour on a terminal.

    :param timeout: in seconds.
    :param reconnect: whether each probe has a connection of its own.
    :param thresholds: colour the round-trip times.
    :param flood_size: how many bytes a probe has, if this is a flood; else ``None``.
    :param histogram: whether the summary has one.
    """

    def __init__(
        self,
        *,
        timeout: float,
        reconnect: bool,
        thresholds: Thresholds,
        flood_size: int | None,
        histogram: bool,
    ) -> None:
        self._timeout = timeout
        self._reconnect = reconnect
        self._thresholds = thresholds
        self._flood_size = flood_size
        self._histogram = histogram
        self._colourful = colourful(sys.stdout)
        self._connection: Connection | None = None

    def connected(self, connection: Connection) -> None:
        """Say from where to where, and how TLS does; with more connections, the lines of results tell."""
        if self._connection is None:
            say(f"connected in {_ms(connection.connect_time)}: {connection.local} -> {connection.remote}")
            if connection.tls is not None:
                tls = connection.tls
                say(f"{tls.version} in {_ms(tls.handshake)}: {expiry(tls.expires, time.time())}")
        self._connection = connection

    def result(self, result: Result) -> None:
        """Write the line of one probe."""
        if result.rtt is None:
            if result.reason:
                say(self._colour(f"seq={result.number} lost: {result.reason}", _RED))
            return
        colour = _COLOURS.get(self._thresholds.level(result.rtt / 1e6))
        words = [
            f"seq={result.number}",
            f"bytes={result.size}",
            self._colour(f"rtt={_ms(result.rtt)}", colour),
        ]
        if result.outcome == "altered":
            words.append(self._colour("ALTERED", _RED))
        if result.late:
            words.append(self._colour("LATE", _YELLOW))
        if result.outcome == "answered" and result.stamps != 1:
            words.append(f"chunks={result.stamps}" if result.stamps else "merged")
        if result.offset is not None:
            words.append(f"offset={offset_text(result.offset)}")
        words.append(f"time={server_time(result) or '?'}")
        if self._reconnect and self._connection is not None:
            words.append(f"connect={_ms(self._connection.connect_time)} from={self._connection.local}")
        say(" ".join(words))

    def overdue(self, number: int) -> None:
        """Say that a probe has not been answered."""
        say(self._colour(f"seq={number} no answer after {self._timeout:g} s", _RED))

    def end(self, summary: Summary) -> None:
        """Write the summary, if there is anything to sum up."""
        if not summary.tally.sent:
            return
        for line in summary_lines(summary, flood_size=self._flood_size, histogram=self._histogram):
            say(line)

    def _colour(self, text: str, colour: int | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colourful and colour else text


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"
