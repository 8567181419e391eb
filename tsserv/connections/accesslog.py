"""Lines of log about connections: one for each that opens, and one for each that ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

# How long lines are held back, in seconds, so that many are put together and written at once.
_HELD_BACK = 0.1

# How many are held back at most: in a burst they would take more memory than the connections.
_MOST = 100

#: How many lines a second are written in the long run: 9 to 11 GB of text a day, or 13 to 15 of JSON.
LINES_A_SECOND = 1_000

# The lines of how many seconds may come at once: thousands of clients that connect again after a restart are
# all logged.
_BURST = 10.0

#: Values of ``--log-connections``: the events that are logged.
LOGGED_ENDS = {"both": ("open", "close"), "open": ("open",), "close": ("close",), "none": ()}

# The texts of the lines.
_OPENED = "...connected from: {peer}"
_CLOSED = (
    "...closed: {client}, {bytes_in} bytes in, {bytes_out} bytes out, chunks: {chunks}, {duration:.3f} s, "
    "{reason}"
)
_COUNTED = (
    f"more than {LINES_A_SECOND} lines a second about connections; without a line: "
    "{open} opened, {close} closed"
)

#: Takes events, in their order.
Log = Callable[[Sequence[LogEvent]], object]


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


def publish(events: Iterable[LogEvent]) -> None:
    """Log events as Twisted does, one by one: 13 microseconds each."""
    for event in events:
        # Twisted takes 3 microseconds longer for the text.
        text = event["log_format"].format_map(event)
        globalLogPublisher({**event, "log_format": "{text}", "text": text})


@implementer(ILogObserver)
class AccessLog:
    """
    Logs connections that open and end, a tenth of a second later at most, with the time of the event.

    Above :data:`LINES_A_SECOND` it counts them instead, and logs the counts.  As the first of Twisted's
    observers it logs what it holds back before any other event, so that all lines are in order.

    :param clock: times the delay and the rate.
    :param logged: which events are logged, of ``open`` and ``close``.
    :param logs: each gets all of them.
    """

    def __init__(
        self,
        clock: IReactorTime,
        logged: Collection[str] = LOGGED_ENDS["both"],
        logs: Iterable[Log] = (publish,),
    ) -> None:
        self._clock = clock
        self._logged = logged
        self._logs = logs
        self._held_back: list[LogEvent] = []
        self._flush_is_due = False
        self._used_until = 0.0  # when the lines so far will be no more than the rate allows
        self._counted: Counter[str] = Counter()  # connections without a line since the last flush

    def opened(self, connection: Record) -> None:
        """Log that a connection has opened."""
        if self._has_line("open", connection.opened_at):
            self._add(event="open", log_format=_OPENED, peer=connection.host, port=connection.port)

    def ended(self, connection: Record, unsent: int) -> None:
        """
        Log that a connection has ended.

        :param unsent: how many of the bytes of its answers were never sent.
        """
        now = self._clock.seconds()
        if self._has_line("close", now):
            host, port = connection.host, connection.port
            self._add(
                event="close",
                log_format=_CLOSED,
                client=host if port is None else f"{host} port {port}",
                peer=host,
                port=port,
                bytes_in=connection.received,
                bytes_out=connection.sent - unsent,
                chunks=connection.chunks,
                duration=round(now - connection.opened_at, 6),
                reason=connection.reason,
            )

    def __call__(self, event: LogEvent) -> None:
        """Log what is held back before ``event``, which other observers log."""
        self.flush()

    def flush(self) -> None:
        """Log what is held back."""
        if self._counted:
            counts = {"open": 0, "close": 0} | self._counted
            self._counted.clear()
            self._add(event="counted", log_level=LogLevel.warn, log_format=_COUNTED, **counts)
        events, self._held_back = self._held_back, []
        for log in self._logs if events else ():
            log(events)

    def _flush_now(self) -> None:
        self._flush_is_due = False
        self.flush()

    def _has_line(self, event: str, now: float) -> bool:
        """Return whether an event is to be logged and the rate allows a line now; count it if not."""
        if event not in self._logged:
            return False
        if not self._flush_is_due:
            self._flush_is_due = True
            self._clock.callLater(_HELD_BACK, self._flush_now)
        if self._used_until >= now + _BURST:
            self._counted[event] += 1
            return False
        self._used_until = max(self._used_until, now) + 1 / LINES_A_SECOND
        return True

    def _add(self, **event: object) -> None:
        self._held_back.append(
            {"log_namespace": "tsserv", "log_level": LogLevel.info, "log_time": time.time(), **event}
        )
        if len(self._held_back) == _MOST:
            self.flush()
