"""A line of log for each connection that opens, and one for each that ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

# How long lines are held back, in seconds.  Written together a line costs 19 microseconds. One by one
# between connections it costs 77, a third of a short connection: each finds cold processor caches.
_HELD_BACK = 0.1

# How many are held back at most: in a burst they would take more memory than the connections.
_MOST = 100

#: Values of ``--log-connections``: whether opening and closing are logged.
LOGGED_ENDS = {"both": (True, True), "open": (True, False), "close": (False, True), "none": (False, False)}


class Record(Protocol):
    """What is logged of one connection."""

    host: str
    #: ``None`` for a client of a UNIX socket.
    port: int | None
    #: On the clock of the log.
    opened_at: float
    chunks: int
    received: int
    sent: int
    reason: str


class AccessLog:
    """
    Logs connections that open and end, a tenth of a second later at most, with the time of the event.

    :param clock: times the delay.
    :param opens: whether a connection that opens is logged.
    :param ends: whether a connection that ends is logged.
    :param observer: takes the events.
    """

    def __init__(
        self,
        clock: IReactorTime,
        opens: bool = True,
        ends: bool = True,
        observer: Callable[[LogEvent], object] = globalLogPublisher,
    ) -> None:
        self._clock = clock
        self._opens = opens
        self._ends = ends
        self._observer = observer
        self._held_back: list[LogEvent] = []
        self._due: IDelayedCall | None = None

    def opened(self, record: Record) -> None:
        """Log that a connection has opened."""
        record.opened_at = self._clock.seconds()
        if self._opens:
            self._add(f"...connected from: {record.host}", "open", record)

    def ended(self, record: Record, unsent: int) -> None:
        """
        Log that a connection has ended.

        :param unsent: how many of the bytes of its answers were never sent.
        """
        if self._ends:
            client = record.host if record.port is None else f"{record.host} port {record.port}"
            bytes_out = record.sent - unsent
            duration = self._clock.seconds() - record.opened_at
            self._add(
                f"...closed: {client}, {record.received} bytes in, {bytes_out} bytes out, "
                f"chunks: {record.chunks}, {duration:.3f} s, {record.reason}",
                "close",
                record,
                bytes_in=record.received,
                bytes_out=bytes_out,
                chunks=record.chunks,
                duration=round(duration, 6),
                reason=record.reason,
            )

    def flush(self) -> None:
        """Log what is held back."""
        if self._due is not None and self._due.active():
            self._due.cancel()
        self._due = None
        events, self._held_back = self._held_back, []
        for event in events:
            self._observer(event)

    def _add(self, text: str, event: str, record: Record, **details: object) -> None:
        self._held_back.append(
            {
                "log_namespace": "tsserv",
                "log_level": LogLevel.info,
                "log_time": time.time(),
                "log_format": "{text}",  # formatting it here takes half of the time that Twisted takes
                "text": text,
                "event": event,
                "peer": record.host,
                "port": record.port,
                **details,
            }
        )
        if len(self._held_back) == _MOST:
            self.flush()
        elif self._due is None:
            self._due = self._clock.callLater(_HELD_BACK, self.flush)
