"""
The web server of ``--status``, and what its clients may cost.

Each connection is for one request, which has to be complete and answered within a time limit.  When too many
are open the oldest is aborted: a slow client keeps no health check out.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorCore
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tsserv.net.endpoints import Place
from tsserv.net.listeners import EndpointListener
from tsserv.net.reactor import PlainReactor

# How many connections may wait to be accepted.
_BACKLOG = 50

# Bytes of the kernel's memory for each direction of a connection.
_SOCKET_BUFFER = 64 * 1024

# How many there may be: the reserve of descriptors in connections/limits.py has room for them.
_MOST = 10

# How long a connection may last, in seconds.
_TIME_LIMIT = 10.0


class _Channel(HTTPChannel):
    """A connection for one request."""

    _deadline: IDelayedCall

    def connectionMade(self) -> None:
        super().connectionMade()
        self._deadline = self.callLater(_TIME_LIMIT, self.abort)

    def abort(self) -> None:
        """Close now; Twisted's ``abortConnection`` alone keeps the file descriptor for another turn."""
        transport: Any = self.transport
        transport.abortConnection()
        transport.connectionLost(Failure(ConnectionAborted()))

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        request.setHeader("Connection", "close")
        return False

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        super().connectionLost(reason)
        if self._deadline.active():
            self._deadline.cancel()
        self.factory.closed(self)


class _Request(Request):
    """A request whose body is not kept."""

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()  # Twisted would write a large body to a file

    def handleContentChunk(self, data: bytes) -> None:
        pass


class StatusSite(Site):
    """
    Serves the status.

    :param root: has the pages.
    :param reactor: times the connections.
    """

    noisy = False
    protocol = _Channel  # type: ignore[assignment]
    requestFactory = _Request

    def __init__(self, root: Resource, reactor: Any) -> None:  # noqa: ANN401
        super().__init__(root, timeout=None, reactor=reactor)
        self._open: list[_Channel] = []

    def buildProtocol(self, addr: IAddress | None) -> _Channel:  # type: ignore[override]
        """Return the protocol of a new connection."""
        if len(self._open) == _MOST:
            self._open[0].abort()
        channel = cast(_Channel, super().buildProtocol(addr))
        self._open.append(channel)
        return channel

    def closed(self, channel: _Channel) -> None:
        """Forget ``channel``, which is closed."""
        self._open.remove(channel)

    def log(self, request: object) -> None:
        """Do nothing: health checks would fill the log of twistd."""


class StatusListener(EndpointListener):
    """
    Listens for those who ask for the status, with Twisted's own way through the reactor.

    :param place: where.
    :param root: has the pages.
    :param reactor: listens.
    """

    line = "status on {place}"

    def __init__(self, place: Place, root: Resource, reactor: IReactorCore) -> None:
        site: Any = StatusSite(root, reactor)
        plain: Any = PlainReactor(reactor)
        super().__init__(place.endpoint, site, backlog=_BACKLOG, socket_buffer=_SOCKET_BUFFER, reactor=plain)
