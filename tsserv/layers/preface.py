"""What a connection has to send before it is served, within a time limit."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from tsserv.connections.address import Client
from tsserv.connections.registry import Connections, TrackedProtocol
from tsserv.connections.repeated import RepeatedEvent


class Preface(TrackedProtocol):
    """
    Base class of the protocols of connections that have to send something before they are served.

    It is registered as a connection from its beginning until :meth:`end_preface` or its end, whichever comes
    first; the protocol behind it then registers in its place.

    :param connections: is told of both.
    :param client: the client, as far as it is known.
    :param clock: tells the time.
    :param time_limit: how long the preface may take, in seconds.
    :param late: counts the connections that are closed since it took longer.
    """

    def __init__(
        self,
        connections: Connections,
        client: Client,
        *,
        clock: IReactorTime,
        time_limit: float,
        late: RepeatedEvent,
    ) -> None:
        super().__init__(connections, client, announced=False)
        self._clock = clock
        self._time_limit = time_limit
        self._late = late
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin to wait."""
        super().connectionMade()
        self._deadline = self._clock.callLater(self._time_limit, self._too_late)

    def _too_late(self) -> None:
        self._late.add()
        self.abort("too late")

    def end_preface(self) -> bool:
        """Stop waiting, and take this out of the registry; return whether it was still there."""
        if self._deadline is None:
            return False
        if self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        self._connections.closed(self)
        return True

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Stop waiting."""
        self.end_preface()
