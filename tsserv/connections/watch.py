"""Close idle connections, and abort stalled ones."""

from __future__ import annotations

from math import ceil

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from tsserv.connections.registry import Connections, TrackedProtocol
from tsserv.connections.stall import PORTION, StallRule
from tsserv.net.queues import waiting

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
    :param stall_timeout: a connection with answers that wait is aborted if its client reads less than
        :data:`PORTION` bytes in so long, in seconds; 0 is never.
    """

    def __init__(
        self, clock: IReactorTime, connections: Connections, *, idle_timeout: float, stall_timeout: float
    ) -> None:
        self._clock = clock
        self._idle_timeout = idle_timeout
        self._interval = min(filter(None, (idle_timeout, stall_timeout)), default=0.0) / _CHECKS_PER_TIMEOUT
        self._stall_rule = StallRule(ceil(stall_timeout / self._interval)) if stall_timeout else None
        self._loop = LoopingCall(connections.for_each, self._check)
        self._loop.clock = clock
        self._idle = connections.repeated(
            f"closing connections that have sent nothing for {idle_timeout:g} s (--idle-timeout)",
            "idle connections closed: {count}",
        )
        self._stalled = connections.repeated(
            f"aborting connections that have read less than {PORTION // 1024} KiB of their answers"
            f" in {stall_timeout:g} s (--stall-timeout)",
            "stalled connections aborted: {count}",
        )

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()
        if self._interval:
            self._loop.start(self._interval, now=False)

    def stopService(self) -> None:
        """Stop watching."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _check(self, connection: TrackedProtocol) -> None:
        now = self._clock.seconds()
        received = connection.lowest.received
        if received != connection.received_before:
            connection.received_before = received
            connection.active_at = now
        elif (
            self._idle_timeout
            and now - connection.active_at >= self._idle_timeout
            # A slow reader, or a connection with data that the reactor has yet to read, is not idle.
            and not waiting(connection.transport)
        ):
            self._idle.add()
            connection.finish("idle")
        if self._stall_rule and self._stall_rule.stalled(connection):
            self._stalled.add()
            connection.abort("stalled")
