"""The figures that ``--status`` shows, read where they are counted."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from copy import copy
from importlib.metadata import version
from platform import python_version
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime

from tsserv.connections.registry import Connections
from tsserv.connections.tally import Sums
from tsserv.layers.credentials import Credentials
from tsserv.ops.linewriter import LineWriter
from tsserv.ops.logfile import LogFile

#: Of the service, and of what it runs on.
VERSIONS = {"version": version("tsserv"), "twisted": version("twisted"), "python": python_version()}

#: The upper bounds of the buckets of the reactor's lag, in seconds.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# How often the lag is measured, in seconds; after how many measurements a sample is kept; how many samples
# are kept: a minute.
_INTERVAL = 0.25
_TICKS = 20
_SAMPLES = 13

# How old figures may be, in seconds: adding up 10,000 connections takes milliseconds, and must not become a
# load, however often clients ask.
_FRESH = 1.0


class Sample(NamedTuple):
    """The figures of one moment."""

    #: On the clock of the reactor, in seconds.
    time: float
    #: How many connections are open, with those that are not served yet.
    open: int
    #: Over the connections that are or have been served.
    sums: Sums
    closed: Counter[str]
    refused: Counter[str]
    #: How many measurements of the lag are in each bucket, and above all bounds; and their sum, in seconds.
    lags: list[int]
    lag: float


class Figures(Service):
    """
    Reads all figures, at most once a second, and keeps those of the last minute.

    :param clock: times that, and has the lag.
    :param connections: the connections.
    :param credentials: of the listeners with TLS, if there are any.
    :param listeners: each has the ``address`` where it listens.
    :param log_file: the log file, if there is one.
    """

    def __init__(
        self,
        clock: IReactorTime,
        connections: Connections,
        credentials: Credentials | None,
        listeners: Iterable[Any],
        log_file: LogFile | None,
    ) -> None:
        self._clock = clock
        self.connections = connections
        self.credentials = credentials
        self.listeners = listeners
        logs = {"file": log_file, "stdout": sys.stdout}  # which twistd is about to replace
        #: By name.
        self.logs = {name: log for name, log in logs.items() if isinstance(log, (LogFile, LineWriter))}
        #: When the service began, on the clock.
        self.began = clock.seconds()
        self._lags = [0] * (len(BOUNDS) + 1)
        self._lag = 0.0
        self._ticks = 0
        self._sample = self._read()
        #: Of the last minute, oldest first.
        self.samples = deque([self._sample], _SAMPLES)

    def startService(self) -> None:
        """Begin to keep figures."""
        super().startService()
        self._wait()

    def stopService(self) -> None:
        """Stop keeping figures."""
        super().stopService()
        self._tick.cancel()

    def now(self) -> Sample:
        """Return the figures of now, or of a second ago at most."""
        if self._clock.seconds() - self._sample.time >= _FRESH:
            self._sample = self._read()
        return self._sample

    def _read(self) -> Sample:
        tally = self.connections.tally
        sums = copy(tally.ended)
        for connection in self.connections:
            sums.add(connection)
        now, count = self._clock.seconds(), len(self.connections)
        return Sample(now, count, sums, tally.closed.copy(), tally.refused(), self._lags.copy(), self._lag)

    def _wait(self) -> None:
        self._due = self._clock.seconds() + _INTERVAL
        self._tick = self._clock.callLater(_INTERVAL, self._measure)

    def _measure(self) -> None:
        lag = max(0.0, self._clock.seconds() - self._due)  # the sum of two floats may be off by a bit
        self._wait()
        self._lags[bisect_left(BOUNDS, lag)] += 1
        self._lag += lag
        self._ticks += 1
        if self._ticks % _TICKS == 0:
            self.samples.append(self.now())
