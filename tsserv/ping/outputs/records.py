"""Records for programs: JSON and CSV."""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Sequence

from tsserv.ping.connection import Connection
from tsserv.ping.drift import Bounds
from tsserv.ping.offset import zone_name
from tsserv.ping.outputs.base import Output, Summary, server_time
from tsserv.ping.result import Outage, Result
from tsserv.ping.streams import write_line
from tsserv.ping.way import Way

#: Names and values, in order; ``None`` if unknown.
Record = dict[str, object]


class Json(Output):
    """Writes a line with an object for each probe and each outage, and one for the run with each target."""

    option = "json"
    help = "write a JSON object for each probe and for the run"

    def __init__(self, options: argparse.Namespace) -> None:
        self._several = len(options.targets) > 1

    def result(self, summary: Summary, result: Result) -> None:
        """Write the object of a probe."""
        _write({"type": "probe", **self._target(summary), **_probe(result)})

    def restored(self, summary: Summary, outage: Outage) -> None:
        """Write the object of an outage."""
        _write({"type": "outage", **self._target(summary), **outage._asdict()})

    def end(self, summaries: Sequence[Summary]) -> None:
        """Write the objects of the run."""
        for summary in summaries:
            _write({"type": "summary", "target": summary.name, **_summary(summary)})

    def _target(self, summary: Summary) -> Record:
        return {"target": summary.name} if self._several else {}


class Csv(Output):
    """
    Writes a row for each probe as soon as its result is known.

    :raises OSError: if the file cannot be written.
    """

    option = "csv"
    help = "write a row for each probe"
    to_file = True

    def __init__(self, options: argparse.Namespace) -> None:
        self._several = len(options.targets) > 1
        self._file = options.csv.open("w", buffering=1, newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._begun = False

    def result(self, summary: Summary, result: Result) -> None:
        """Write the row of a probe."""
        record: Record = {"target": summary.name} if self._several else {}
        record |= _probe(result)
        record["server_time"] = _inactive(server_time(result))
        if not self._begun:
            self._writer.writerow(record)
            self._begun = True
        self._writer.writerow(record.values())

    def end(self, summaries: Sequence[Summary]) -> None:
        """Close the file."""
        self._file.close()


def _inactive(text: str) -> str:
    """
    Return received text as one that no spreadsheet takes for a formula.

    Everything that could begin a formula, or a new cell with one, is percent-encoded.  All formats of the
    service but patterns are left as they are.
    """
    return re.sub(
        r"^\W|[^\w :.,/+-]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text
    )


def _write(record: Record) -> None:
    write_line(json.dumps(record))


def _probe(result: Result) -> Record:
    measurement = result.measurement
    return {
        "seq": result.number,
        "outcome": result.outcome,
        "sent": round(result.sent / 1e9, 6),
        "rtt_ms": None if result.rtt is None else result.rtt / 1e6,
        "late": result.late,
        "bytes": result.size,
        "stamps": result.stamps,
        "server_time": server_time(result) or None,
        **_offset(measurement and measurement.offset),
        "there_ms": measurement and measurement.there.middle / 1e6,
        "back_ms": measurement and measurement.back.middle / 1e6,
        "way_uncertainty_ms": measurement and measurement.there.uncertainty / 1e6,
        "retransmits": result.retransmits,
        "reason": result.reason or None,
    }


def _summary(summary: Summary) -> Record:
    offset, counts, kernel = summary.offset, summary.counts, summary.counts.kernel
    return {
        **_connection(summary.connection),
        "seconds": summary.seconds,
        **counts.as_dict(),
        "away_seconds": counts.away,
        "kernel_rtt_ms": kernel and kernel.rtt / 1e6,
        "congestion_window": kernel and kernel.window,
        "rtt_ms": counts.rtts.statistics() or None,
        "there_ms": _way(counts.there),
        "back_ms": _way(counts.back),
        **_offset(offset.best),
        "drift_ppm": offset.drift and offset.drift.middle / 1e3,
        "drift_uncertainty_ppm": offset.drift and offset.drift.uncertainty / 1e3,
        "zone": None if offset.zone is None else zone_name(offset.zone),
        "level": summary.level,
        "error": summary.error or None,
    }


def _offset(offset: Bounds | None) -> Record:
    return {
        "offset_ms": None if offset is None else offset.middle / 1e6,
        "uncertainty_ms": None if offset is None else offset.uncertainty / 1e6,
    }


def _way(way: Way) -> Record | None:
    statistics = way.statistics()
    if not statistics:
        return None
    delay = way.longest_delay
    return {
        **statistics,
        "delayed": way.delayed,
        "longest_delay": delay and delay.middle / 1e6,
        "longest_delay_uncertainty": delay and delay.uncertainty / 1e6,
    }


def _connection(connection: Connection | None) -> Record:
    if connection is None:
        return {"local": None, "remote": None, "connect_ms": None, "tls": None}
    tls = connection.tls
    return {
        "local": str(connection.local),
        "remote": str(connection.remote),
        "connect_ms": connection.connect_time / 1e6,
        "tls": tls and {"version": tls.version, "handshake_ms": tls.handshake / 1e6, "expires": tls.expires},
    }
