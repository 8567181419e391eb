"""Text: a line for each probe, and a summary."""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from math import inf
from typing import TextIO

from tsserv.ping.address import UnixPath
from tsserv.ping.connection import Connection
from tsserv.ping.outputs.base import Output, Summary, server_time
from tsserv.ping.outputs.summary import histogram_lines, measurement_text, summary_lines, table_lines
from tsserv.ping.result import Outage, Result
from tsserv.ping.streams import terminal_width, width, write_line
from tsserv.ping.tls import expiry
from tsserv.ping.verdict import CRITICAL, WARNING, Thresholds, Value

# Select Graphic Rendition (ECMA-48).
_RED, _YELLOW = 31, 33
_COLOURS = {WARNING: _YELLOW, CRITICAL: _RED}


def colourful(stream: TextIO) -> bool:
    """Return whether to use colours: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Text(Output):
    """
    Writes lines to standard output.  This is the default output.

    If there are several targets, each line begins with one.  On a terminal lines are in colour and fit its
    width: the line of a probe leaves out what has no room, the others go on in the next line.
    """

    option = "histogram"
    help = "add a histogram of the round-trip times"

    def __init__(self, options: argparse.Namespace) -> None:
        self._timeout = options.timeout
        self._reconnect = options.reconnect
        self._thresholds = Thresholds(options.warn, options.crit)
        self._flood_size = options.size if options.flood else None
        self._histogram = options.histogram
        self._quiet = options.quiet
        self._timestamps = options.timestamps
        self._colourful = colourful(sys.stdout)
        self._several = len(options.targets) > 1

    def connected(self, summary: Summary, connection: Connection) -> None:
        """Write the addresses and the TLS session of the first connection."""
        if summary.connection is connection:
            local = f"{connection.local} -> " if connection.local != UnixPath("") else ""
            connect_time = _ms(connection.connect_time)
            self._write(f"{self._name(summary)}connected in {connect_time}: {local}{connection.remote}")
            if connection.tls is not None:
                tls = connection.tls
                expires = expiry(tls.expires, time.time())
                self._write(f"{self._name(summary)}{tls.version} in {_ms(tls.handshake)}: {expires}")

    def result(self, summary: Summary, result: Result) -> None:
        """Write the line of a probe."""
        if result.rtt is None:
            if result.reason:
                self._event(summary, f"seq={result.number} lost: {result.reason}", _RED)
            return
        if self._quiet:
            return
        colour = _COLOURS.get(self._thresholds.level({"rtt": Value(result.rtt / 1e6, result.rtt / 1e6)}))
        words = [
            (f"{self._now()}{self._name(summary)}seq={result.number}", None),
            (f"rtt={_ms(result.rtt)}", colour),
        ]
        if result.outcome == "altered":
            words.append(("ALTERED", _RED))
        if result.late:
            words.append(("LATE", _YELLOW))
        if result.retransmits:
            words.append((f"retransmits={result.retransmits}", None))
        if result.outcome == "answered" and result.stamps != 1:
            words.append((f"chunks={result.stamps}" if result.stamps else "merged", None))
        room = (terminal_width(sys.stdout) or inf) - sum(len(text) + 1 for text, _ in words)
        for text in self._details(summary, result):
            if len(text) <= room:
                words.append((text, None))
                room -= len(text) + 1
        if room < -1:  # even what is in every line has none
            self._write(" ".join(text for text, _ in words))
        else:
            write_line(" ".join(self._colour(text, colour) for text, colour in words))

    def _details(self, summary: Summary, result: Result) -> Iterator[str]:
        """Return what the line of a probe has if there is room, the most important first."""
        if result.measurement is not None:
            yield measurement_text(result.measurement)
        if not self._several:  # otherwise a line would be wider than 80 columns
            yield f"time={_time_of_day(server_time(result)) or '?'}"
        if self._reconnect and summary.latest is not None:
            yield f"connect={_ms(summary.latest.connect_time)} from={summary.latest.local}"

    def overdue(self, summary: Summary, number: int) -> None:
        """Write that a probe has not been answered."""
        self._event(summary, f"seq={number} no answer after {self._timeout:g} s", _RED)

    def ended(self, summary: Summary, reason: str) -> None:
        """Write why the connection ended."""
        self._event(summary, f"connection ended: {reason}; connecting again", _RED)

    def restored(self, summary: Summary, outage: Outage) -> None:
        """Write how long the service was away."""
        probes = "1 probe" if outage.lost == 1 else f"{outage.lost} probes"
        self._event(summary, f"the service is back after {outage.seconds:.1f} s: {probes} lost")

    def end(self, summaries: Sequence[Summary]) -> None:
        """Write the summary, if anything was sent; of several targets a table."""
        if not any(summary.counts.sent for summary in summaries):
            return
        if self._several:
            lines = table_lines(summaries, width(sys.stdout))
        else:
            lines = summary_lines(summaries[0], flood_size=self._flood_size)
        if self._histogram:
            for summary in summaries:
                lines += ["", *([f"--- {summary.target} ---"] if self._several else [])]
                lines += histogram_lines(summary.counts.rtts, width(sys.stdout))
        for line in lines:
            self._write(line)

    def _event(self, summary: Summary, text: str, colour: int | None = None) -> None:
        """Write what has just happened, unless only the summary is wanted."""
        if not self._quiet:
            self._write(f"{self._now()}{self._name(summary)}{text}", colour)

    def _now(self) -> str:
        return f"[{time.time():.6f}] " if self._timestamps else ""

    def _name(self, summary: Summary) -> str:
        return f"{summary.target}: " if self._several else ""

    def _write(self, text: str, colour: int | None = None) -> None:
        for line in _wrap(text, terminal_width(sys.stdout)):
            write_line(self._colour(line, colour))

    def _colour(self, text: str, colour: int | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colourful and colour else text


def _wrap(text: str, columns: int | None) -> list[str]:
    """Return the lines for a text, which do not break between a number and its unit."""
    if not (columns and text):
        return [text]
    lines = textwrap.wrap(
        re.sub(r"(?<=\d) (?=(?:ms|s|ppm)\b|%)", "\xa0", text),
        columns,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\xa0", " ") for line in lines]


def _time_of_day(text: str) -> str:
    """Return what a line has room for: of the formats with a date, the time of day without microseconds."""
    match = re.search(r"(?<=[ T])\d\d:\d\d:\d\d(\.\d{3})?", text)
    return match[0] if match else text


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"
