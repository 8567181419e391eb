"""A line of log for each connection that opens, and one for each that ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

# How long lines are held back, in seconds.  Written together a line costs 19 microseconds, and 77
# one by one between connections, which each time find the processor's caches full of other things:
# a third of all that a short connection costs.
_HELD_BACK = 0.1

# How many are held back at most: in a burst they would take more memory than the connections.
_MOST = 100

#: What `--log-connections` may ask for: which ends of a connection are logged.
LOGGED_ENDS = {"both": (True, True), "open": (True, False), "close": (False, True), "none": (False, False)}


class Account(Protocol):
    """What is logged of one connection."""

    host: str
    #: ``None`` of a UNIX socket.
    port: int | None
    #: Whether it is not worth a line that it opens: a proxy's health check, perhaps.
    quiet: bool
    #: On the clock of the log.
    opened_at: float
    chunks: int
    received: int
    sent: int


class AccessLog:
    """
    Logs when connections open and end: a tenth of a second later at most, with the time at which they did.

    :param clock: times the delay.
    :param opens: whether a connection that opens is logged.
    :param ends: whether one that ends is logged, if it has sent anything: a health check has not.
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

    def opened(self, account: Account) -> None:
        """Log that a connection is open."""
        account.opened_at = self._clock.seconds()
        if self._opens and not account.quiet:
            self._add(f"...connected from: {account.host}", "open", account)

    def ended(self, account: Account, unsent: int, reason: str) -> None:
        """
        Log that a connection has ended.

        :param unsent: how many of the bytes of its answers were never sent.
        :param reason: in a few words.
        """
        if self._ends and account.chunks:
            client = account.host if account.port is None else f"{account.host} port {account.port}"
            bytes_out = account.sent - unsent
            duration = self._clock.seconds() - account.opened_at
            self._add(
                f"...closed: {client}, {account.received} bytes in, {bytes_out} bytes out, "
                f"chunks: {account.chunks}, {duration:.3f} s, {reason}",
                "close",
                account,
                bytes_in=account.received,
                bytes_out=bytes_out,
                chunks=account.chunks,
                duration=round(duration, 6),
                reason=reason,
            )

    def flush(self) -> None:
        """Log what is held back."""
        if self._due is not None and self._due.active():
            self._due.cancel()
        self._due = None
        events, self._held_back = self._held_back, []
        for event in events:
            self._observer(event)

    def _add(self, text: str, event: str, account: Account, **details: object) -> None:
        self._held_back.append(
            {
                "log_namespace": "tsserv",
                "log_level": LogLevel.info,
                "log_time": time.time(),
                "log_format": "{text}",  # Twisted would take twice as long to put it together
                "text": text,
                "event": event,
                "peer": account.host,
                "port": account.port,
                **details,
            }
        )
        if len(self._held_back) == _MOST:
            self.flush()
        elif self._due is None:
            self._due = self._clock.callLater(_HELD_BACK, self.flush)
