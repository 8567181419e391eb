"""Text: a line for each probe, and a summary."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from typing import TextIO

from tsserv.ping.connection import Connection
from tsserv.ping.outputs.base import Output, Summary, server_time
from tsserv.ping.outputs.summary import measurement_text, summary_lines
from tsserv.ping.result import Outage, Result
from tsserv.ping.streams import write_line
from tsserv.ping.tls import expiry
from tsserv.ping.verdict import CRITICAL, WARNING, Thresholds, Value

# Select Graphic Rendition (ECMA-48).
_RED, _YELLOW = 31, 33
_COLOURS = {WARNING: _YELLOW, CRITICAL: _RED}


def colourful(stream: TextIO) -> bool:
    """Return whether to use colours: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Text(Output):
    """Writes lines to standard output, in colour on a terminal.  This is the default output."""

    option = "histogram"
    help = "add a histogram of the round-trip times"

    def __init__(self, options: argparse.Namespace) -> None:
        self._timeout = options.timeout
        self._reconnect = options.reconnect
        self._thresholds = Thresholds(options.warn, options.crit)
        self._flood_size = options.size if options.flood else None
        self._histogram = options.histogram
        self._colourful = colourful(sys.stdout)
        self._connection: Connection | None = None

    def connected(self, connection: Connection) -> None:
        """Write the addresses and the TLS session of the first connection."""
        if self._connection is None:
            write_line(
                f"connected in {_ms(connection.connect_time)}: {connection.local} -> {connection.remote}"
            )
            if connection.tls is not None:
                tls = connection.tls
                write_line(f"{tls.version} in {_ms(tls.handshake)}: {expiry(tls.expires, time.time())}")
        self._connection = connection

    def result(self, result: Result) -> None:
        """Write the line of a probe."""
        if result.rtt is None:
            if result.reason:
                write_line(self._colour(f"seq={result.number} lost: {result.reason}", _RED))
            return
        colour = _COLOURS.get(self._thresholds.level({"rtt": Value(result.rtt / 1e6, result.rtt / 1e6)}))
        words = [f"seq={result.number}", self._colour(f"rtt={_ms(result.rtt)}", colour)]
        if result.outcome == "altered":
            words.append(self._colour("ALTERED", _RED))
        if result.late:
            words.append(self._colour("LATE", _YELLOW))
        if result.retransmits:
            words.append(f"retransmits={result.retransmits}")
        if result.outcome == "answered" and result.stamps != 1:
            words.append(f"chunks={result.stamps}" if result.stamps else "merged")
        if result.measurement is not None:
            words.append(measurement_text(result.measurement, result.rtt))
        words.append(f"time={_time_of_day(server_time(result)) or '?'}")
        if self._reconnect and self._connection is not None:
            words.append(f"connect={_ms(self._connection.connect_time)} from={self._connection.local}")
        write_line(" ".join(words))

    def overdue(self, number: int) -> None:
        """Write that a probe has not been answered."""
        write_line(self._colour(f"seq={number} no answer after {self._timeout:g} s", _RED))

    def ended(self, reason: str) -> None:
        """Write why the connection ended."""
        write_line(self._colour(f"connection ended: {reason}; connecting again", _RED))

    def restored(self, outage: Outage) -> None:
        """Write how long the service was away."""
        probes = "1 probe" if outage.lost == 1 else f"{outage.lost} probes"
        write_line(f"the service is back after {outage.seconds:.1f} s: {probes} lost")

    def end(self, summary: Summary) -> None:
        """Write the summary, if anything was sent."""
        if not summary.counts.sent:
            return
        for line in summary_lines(summary, flood_size=self._flood_size, histogram=self._histogram):
            write_line(line)

    def _colour(self, text: str, colour: int | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colourful and colour else text


def _time_of_day(text: str) -> str:
    """Return what a line has room for: of the formats with a date, the time of day without microseconds."""
    match = re.search(r"(?<=[ T])\d\d:\d\d:\d\d(\.\d{3})?", text)
    return match[0] if match else text


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"
