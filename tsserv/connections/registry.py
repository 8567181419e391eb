"""
The open connections: which are let in, which are there, and when the last one has gone.

A connection is open from :meth:`Connections.opened` to :meth:`Connections.closed`; its protocol calls both.
:meth:`TrackedProtocol.finish` ends it when all that is owed has been sent, :meth:`TrackedProtocol.abort` at
once. A layer that hands it over to another protocol closes the first and opens the second in the same turn.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from tsserv.connections.accesslog import AccessLog
from tsserv.connections.address import Client
from tsserv.connections.limits import HostLimit, Prefaces
from tsserv.connections.repeated import RepeatedEvent
from tsserv.connections.tally import Tally
from tsserv.connections.walk import call_each, walk
from tsserv.net.queues import buffered

_log = Logger("tsserv")


class TrackedProtocol(Protocol):
    """
    Base class of protocols whose connections are counted, watched and logged.

    :param connections: is told when the connection opens and when it has ended.
    :param client: the client, as far as it is known.
    :param announced: whether the access log has a line when the connection opens.
    """

    __slots__ = (  # ten thousand of them may be idle
        *("_connections", "acknowledged", "active_at", "announced", "chunks", "connected", "host"),
        *("opened_at", "port", "reads_for", "reason", "received", "received_before", "sent", "transport"),
    )

    #: Twisted's connection, or a layer above it that hands on what it does not know.
    transport: typing.Any
    served = True

    def __init__(self, connections: Connections, client: Client, *, announced: bool) -> None:
        self._connections = connections
        self.host, self.port, _ = client
        self.announced = announced
        self.transport, self.connected = None, 0
        #: How many chunks and bytes have been received, and how many bytes have been written.
        self.chunks = self.received = self.sent = 0
        #: ``lowest.received`` when it was last looked at, and when it was first seen to be that.
        self.received_before = -1
        self.active_at = 0.0
        #: Of the bytes ``lowest.sent``: how many were acknowledged at the last check for a stall, and for how
        #: many more checks the client may be reading them; if negative, for how many it has been stalled.
        self.acknowledged = self.reads_for = 0
        #: When the connection opened, on the clock of the access log.
        self.opened_at = 0.0
        #: Why the connection ends, in a few words, if the service ends it.
        self.reason = "connection lost"

    @property
    def lowest(self) -> TrackedProtocol:
        """The protocol that counts every byte of the connection: this one, or the layer below it."""
        return typing.cast(TrackedProtocol, self.transport.protocol)

    def connectionMade(self) -> None:
        """Register."""
        self._connections.opened(self)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Make room for another connection."""
        if reason is not None and reason.type is ConnectionLost:
            self.reason = "connection lost"
        self._connections.closed(self)

    def finish(self, reason: str) -> None:
        """Stop reading, and close when all that is owed has been sent."""
        self.reason = reason
        # With a producer that is paused the connection would stay for ever.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self, reason: str) -> None:
        """Close now."""
        self.reason = reason
        self.transport.abortConnection()


class Connections(Service):
    """
    Knows every open connection, and lets new ones in up to its limits; stops when the last has ended.

    :param clock: times what is logged.
    :param log: is told of every connection that opens or ends.
    :param most: how many connections may be open at once.
    :param most_per_host: how many of them one host may have; 0 is any number.
    """

    def __init__(self, clock: IReactorTime, log: AccessLog, *, most: int, most_per_host: int = 0) -> None:
        self._clock, self._log, self._most = clock, log, most
        self._per_host = HostLimit(most_per_host) if most_per_host else None
        self._open: set[TrackedProtocol] = set()
        self._waiting: list[Deferred[None]] = []
        self.tally = Tally()
        self.prefaces = Prefaces(most, clock, self.repeated)
        self._too_many = self.repeated(
            f"refusing connections: {most} are open (--max-connections)",
            "connections refused above --max-connections: {count}",
            "max-connections",
        )
        self._too_many_of_host = self.repeated(
            f"refusing connections from {{host}}: {most_per_host} are open (--max-connections-per-host)",
            "connections refused above --max-connections-per-host: {count}",
            "max-connections-per-host",
        )

    def repeated(self, began: str, ended: str, reason: str = "") -> RepeatedEvent:
        """Return a :class:`RepeatedEvent` whose last burst ends when the service stops."""
        event = RepeatedEvent(self._clock, began, ended, reason)
        self.tally.events.append(event)
        return event

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    def __iter__(self) -> Iterator[TrackedProtocol]:
        """Return the open connections."""
        return iter(self._open)

    def for_each(self, call: Callable[[TrackedProtocol], None]) -> Deferred[None]:
        """Call ``call`` with each open connection, in several turns; fires when that is done."""
        return Deferred.fromCoroutine(walk(self._open, call, self._clock))

    def admits(self, client: Client, *, preface: bool = False) -> bool:
        """Return whether ``client`` may connect now, after making room for it; if not, count and log it."""
        if self._per_host is not None and self._per_host.reached(client.host):
            self._too_many_of_host.add(host=client.host)
            return False
        if len(self._open) >= self._most and not self.prefaces.close_oldest(for_preface=preface):
            self._too_many.add()
            return False
        return True

    def opened(self, connection: TrackedProtocol) -> None:
        """Register ``connection``, which has just opened."""
        self._open.add(connection)
        connection.opened_at = self._clock.seconds()
        if self._per_host is not None:
            self._per_host.add(connection.host)
        if connection.announced:
            self._log.opened(connection)

    def closed(self, connection: TrackedProtocol) -> None:
        """Forget ``connection``, which has ended."""
        self._open.remove(connection)
        self.tally.add(connection)
        if self._per_host is not None:
            self._per_host.remove(connection.host)
        if connection.chunks:
            self._log.ended(connection, buffered(connection.transport))
        if self._waiting and not self._open:
            # In a turn of its own: the protocol behind a layer may open in this one.
            self._clock.callLater(0, self._check_empty)

    def when_empty(self) -> Deferred[None]:
        """Return what fires when no connection is open, at once if that is so now."""
        empty: Deferred[None] = Deferred()
        self._waiting.append(empty)
        self._check_empty()
        return empty

    def _check_empty(self) -> None:
        if not self._open:
            waiting, self._waiting = self._waiting, []
            for empty in waiting:
                empty.callback(None)

    def stopService(self) -> Deferred[None]:
        """Return what fires when the last connection has ended, and what was held back is logged."""
        super().stopService()
        return self.when_empty().addCallback(self._flush)

    def _flush(self, _: None) -> None:
        self.tally.close()
        self._log.flush()

    def abort(self) -> None:
        """End every connection now, unsent answers and all."""
        if self._open:
            _log.warn("connections aborted before they had finished: {count}", count=len(self._open))
        call_each(list(self._open), lambda connection: connection.abort("service stopped"))
