"""What a connection has to send before it is served, within a time limit."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from tsserv.connections.address import Client, ClientFactory
from tsserv.connections.registry import Connections, TrackedProtocol
from tsserv.connections.repeated import RepeatedEvent


class PrefaceFactory(ClientFactory):
    """
    Base class of the factories of :class:`Preface`, with what all of their connections share.

    :param connections: is told of them.
    :param clock: times the preface.
    """

    #: How long the preface may take, in seconds.
    time_limit: float
    #: Count the connections that are closed since it took longer, or is not valid.
    late: RepeatedEvent
    invalid: RepeatedEvent

    def __init__(self, connections: Connections, clock: IReactorTime) -> None:
        self.connections, self.clock = connections, clock


class Preface(TrackedProtocol):
    """
    Base class of the protocols of connections that have to send something before they are served.

    It is registered as a connection from its beginning until :meth:`end_preface` or its end, whichever comes
    first; the protocol behind it then registers in its place.  Until then it may be closed at any time, to
    let a new connection in.

    :param factory: made this, and knows what its connections share.
    :param client: the client, as far as it is known.
    """

    served = False

    def __init__(self, factory: PrefaceFactory, client: Client) -> None:
        super().__init__(factory.connections, client, announced=False)
        self._factory = factory
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin to wait."""
        super().connectionMade()
        self._connections.prefaces.add(self.transport)
        self._deadline = self._factory.clock.callLater(self._factory.time_limit, self._too_late)

    def _too_late(self) -> None:
        self._factory.late.add()
        self.abort("too late")

    def end_preface(self) -> bool:
        """Stop waiting, and take this out of the registry; return whether it was still there."""
        if self._deadline is None:
            return False
        if self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        self._connections.prefaces.remove(self.transport)
        self._connections.closed(self)
        return True

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Stop waiting."""
        self.end_preface()
