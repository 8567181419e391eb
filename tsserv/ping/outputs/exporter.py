"""Prometheus: it runs on, and serves over HTTP what it measures."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from tsserv.ping import parsers
from tsserv.ping.address import Endpoint
from tsserv.ping.httpserver import PageServer
from tsserv.ping.outputs.base import CannotListen, Output, Summary
from tsserv.ping.outputs.measured import Measured
from tsserv.ping.reason import reason
from tsserv.ping.result import Outage, Result
from tsserv.ping.streams import write_error

# Seconds for which a thread that makes the page may hold up the probes: Python's own value is 5 ms.
_SWITCH_INTERVAL = 0.0001


class Exporter(Output):
    """
    Counts for each target, and logs to standard error which targets are away.

    :raises ImportError: if prometheus_client is not installed.
    :raises CannotListen: if it cannot listen.
    """

    option = "exporter"
    help = "run on, and serve metrics to Prometheus"
    metavar = "[ADDRESS:]PORT"
    parse = staticmethod(parsers.listener)
    library = "prometheus_client"

    def __init__(self, options: argparse.Namespace) -> None:
        from tsserv.ping.outputs.metrics import CONTENT_TYPE, Metrics

        self._targets: dict[Endpoint, Measured] = {}
        self._metrics = Metrics(self._targets.values())
        try:
            self._server = PageServer(options.exporter, self._metrics.page, CONTENT_TYPE)
        except OSError as error:
            # What socket.create_server adds to the text has been said.
            why = reason(error) if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise CannotListen(f"cannot listen on {options.exporter}: {why}") from error

    def begin(self, summaries: Sequence[Summary]) -> None:
        """Start to serve."""
        self._targets.update((summary.target, Measured(summary)) for summary in summaries)
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self._server.start()
        write_error(f"serving {self._server.url}")

    def result(self, summary: Summary, result: Result) -> None:
        """Count a probe; the first that is lost without a connection is logged."""
        measured = self._targets[summary.target]
        if measured.up is None and result.reason:
            write_error(f"{summary.target}: {result.reason}")
        measured.result(result)

    def overdue(self, summary: Summary, number: int) -> None:
        """Count a probe as lost."""
        self._targets[summary.target].overdue(number)

    def ended(self, summary: Summary, reason: str) -> None:
        """Log why a connection ended."""
        write_error(f"{summary.target}: connection ended: {reason}; connecting again")

    def restored(self, summary: Summary, outage: Outage) -> None:
        """Log how long the service was away."""
        write_error(f"{summary.target}: back after {outage.seconds:.1f} s, {outage.lost} probes lost")

    def end(self, summaries: Sequence[Summary]) -> None:
        """Stop listening."""
        self._server.stop()
