"""Let open connections finish when the service stops, and before that let balancers notice."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tsserv.connections.registry import Connections, TrackedProtocol
from tsserv.net.queues import waiting

_log = Logger("tsserv")

# How long a connection has been inactive before it is closed, and how often that is checked, in seconds.
_INACTIVE = 1.0
_CHECK_INTERVAL = 0.25


class Delay(Service):
    """
    Puts off the end when it stops: clients can still connect while balancers have yet to see that it stops.

    :param clock: times that.
    :param seconds: how long it may take.
    :param wanted: returns whether there is a delay, since not every reason to stop has one.
    """

    def __init__(self, clock: IReactorTime, seconds: float, wanted: Callable[[], bool]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._wanted = wanted
        self._over: Deferred[None] | None = None

    def stopService(self) -> Deferred[None] | None:
        """
        Begin the delay.

        :return: fires at its end; ``None`` if there is none.
        """
        super().stopService()
        if self._seconds and self._wanted():
            _log.info("stopping in {seconds:g} s (--drain-delay)", seconds=self._seconds)
            self._over = Deferred()
            self._call = self._clock.callLater(self._seconds, self.end)
        return self._over

    @property
    def waiting(self) -> bool:
        """Whether the delay has begun and is not over."""
        return self._over is not None

    def end(self) -> None:
        """End the delay."""
        assert self._over is not None, "it has begun"
        if self._call.active():
            self._call.cancel()
        over, self._over = self._over, None
        over.callback(None)


class Drain(Service):
    """
    Lets the open connections finish when it stops, and does nothing before.

    Each connection is served on until its client ends it, or it has been inactive for a second with nothing
    unread and nothing unsent.

    :param clock: times that.
    :param connections: to drain.
    :param timeout: how long that may take, in seconds; what is open then is aborted.
    """

    def __init__(self, clock: IReactorTime, connections: Connections, timeout: float) -> None:
        self._clock = clock
        self._connections = connections
        self._timeout = timeout
        self._loop = LoopingCall(connections.for_each, self._close_if_inactive)
        self._loop.clock = clock

    def stopService(self) -> Deferred[None]:
        """
        Drain.

        :return: fires when no connection is open, after the timeout at the latest.
        """
        super().stopService()
        empty = self._connections.when_empty()
        if not empty.called:
            _log.info(
                "waiting up to {timeout:g} s for {count} connections",
                timeout=self._timeout,
                count=len(self._connections),
            )
            deadline = self._clock.callLater(self._timeout, self._connections.abort)

            def end(_: None) -> None:
                self._loop.stop()
                if deadline.active():
                    deadline.cancel()

            empty.addCallback(end)
            self._loop.start(_CHECK_INTERVAL)
        return empty

    def _close_if_inactive(self, connection: TrackedProtocol) -> None:
        now = self._clock.seconds()
        received = connection.lowest.received
        if received != connection.received_before or waiting(connection.transport):
            connection.received_before = received
            connection.active_at = now
        elif now - connection.active_at >= _INACTIVE:
            connection.finish("service stopped")
