"""What happened, for programs: JSON and CSV."""

from __future__ import annotations

import csv
import json
from typing import TextIO

from tsserv.ping.connection import Connection
from tsserv.ping.conversation import Result
from tsserv.ping.offset import Bounds, zone_name
from tsserv.ping.outputs.base import Output, Summary, say, server_time

#: Names and values, in order; ``None`` is what is not known.
Record = dict[str, object]


class Json(Output):
    """Writes one object a line to standard output: one for each probe, and one for the whole."""

    def result(self, result: Result) -> None:
        """Write the object of a probe."""
        _write({"type": "probe", **_probe(result)})

    def end(self, summary: Summary) -> None:
        """Write the object of the run."""
        offset = summary.offset
        _write(
            {
                "type": "summary",
                "target": summary.target,
                **_connection(summary.connection),
                "seconds": summary.seconds,
                **summary.tally.counts(),
                "rtt_ms": summary.tally.rtts.figures() or None,
                **_offset(offset.best),
                "zone": None if offset.zone is None else zone_name(offset.zone),
                "level": summary.level,
                "error": summary.error or None,
            }
        )


class Csv(Output):
    """
    Writes one row for each probe, as soon as it is known what became of it.

    :param file: open, and line-buffered.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self._begun = False

    def result(self, result: Result) -> None:
        """Write the row of a probe."""
        record = _probe(result)
        if not self._begun:
            self._writer.writerow(record)
            self._begun = True
        self._writer.writerow(record.values())

    def end(self, summary: Summary) -> None:
        """Close the file."""
        self._file.close()


def _write(record: Record) -> None:
    say(json.dumps(record))


def _probe(result: Result) -> Record:
    return {
        "seq": result.number,
        "outcome": result.outcome,
        "sent": round(result.sent / 1e9, 6),
        "rtt_ms": None if result.rtt is None else result.rtt / 1e6,
        "late": result.late,
        "bytes": result.size,
        "stamps": result.stamps,
        "server_time": server_time(result) or None,
        **_offset(result.offset),
        "reason": result.reason or None,
    }


def _offset(offset: Bounds | None) -> Record:
    return {
        "offset_ms": None if offset is None else offset.middle / 1e6,
        "uncertainty_ms": None if offset is None else offset.uncertainty / 1e6,
    }


def _connection(connection: Connection | None) -> Record:
    if connection is None:
        return {"local": None, "remote": None, "connect_ms": None, "tls": None}
    tls = connection.tls
    return {
        "local": connection.local,
        "remote": connection.remote,
        "connect_ms": connection.connect_time / 1e6,
        "tls": tls and {"version": tls.version, "handshake_ms": tls.handshake / 1e6, "expires": tls.expires},
    }
