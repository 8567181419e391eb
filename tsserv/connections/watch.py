"""Close idle connections, and abort stalled ones."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from tsserv.connections.registry import ALL, Connections, TrackedProtocol
from tsserv.net.queues import unsent, waiting

# A timeout is noticed late by a quarter of it at most: the last event by one check of the connections,
# and the end of the timeout by another.
_CHECKS_PER_TIMEOUT = 8


class Watch(Service):
    """
    Looks at all connections from time to time, with one timer, as long as the service runs.

    :param clock: times the checks.
    :param connections: to watch.
    :param idle_timeout: a connection that has received nothing for so long, in seconds, and is owed nothing
        is closed; 0 is never.
    :param stall_timeout: a connection with answers that wait, and whose client has acknowledged none of them
        for so long, in seconds, is aborted; 0 is never.
    """

    def __init__(
        self, clock: IReactorTime, connections: Connections, *, idle_timeout: float, stall_timeout: float
    ) -> None:
        self._clock = clock
        self._connections = connections
        self._idle_timeout = idle_timeout
        self._stall_timeout = stall_timeout
        self._loop = LoopingCall(self._check)
        self._loop.clock = clock
        self._idle = connections.repeated(
            f"closing connections that have sent nothing for {idle_timeout:g} s (--idle-timeout)",
            "idle connections closed: {count}",
        )
        self._stalled = connections.repeated(
            f"aborting connections that have taken no answer for {stall_timeout:g} s (--stall-timeout)",
            "stalled connections aborted: {count}",
        )

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()
        timeouts = [timeout for timeout in (self._idle_timeout, self._stall_timeout) if timeout]
        if timeouts:
            self._loop.start(min(timeouts) / _CHECKS_PER_TIMEOUT, now=False)

    def stopService(self) -> None:
        """Stop watching."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _check(self) -> None:
        now = self._clock.seconds()
        for connection in self._connections:
            active = connection.received != connection.received_before
            if active:
                connection.received_before = connection.received
                connection.active_at = now
            elif (
                self._idle_timeout
                and now - connection.active_at >= self._idle_timeout
                # A slow reader, or a connection with data that the reactor has yet to read, is not idle.
                and not waiting(connection.transport)
            ):
                self._idle.add()
                connection.finish("idle")
            # Nothing can be unacknowledged if all was and nothing has been received since.
            if self._stall_timeout and (active or connection.acknowledged != ALL):
                self._check_stall(connection, now)

    def _check_stall(self, connection: TrackedProtocol, now: float) -> None:
        unacknowledged = unsent(connection.transport)
        acknowledged = connection.sent - unacknowledged if unacknowledged else ALL
        if acknowledged != connection.acknowledged:
            connection.acknowledged = acknowledged
            connection.acknowledged_at = now
        elif unacknowledged and now - connection.acknowledged_at >= self._stall_timeout:
            self._stalled.add()
            connection.abort("stalled")
