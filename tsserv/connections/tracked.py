"""One connection, as those see it who watch it."""

from __future__ import annotations

import typing

from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

#: Of :attr:`Peer.taken`: nothing waits to be taken.
NOTHING_WAITS = -1


class Registry(typing.Protocol):
    """Knows the connections that are open."""

    def opened(self, peer: Peer) -> None:
        """Watch ``peer`` from now on."""

    def closed(self, peer: Peer) -> None:
        """Forget ``peer``."""


class Peer(Protocol):
    """
    A protocol whose connection is watched from its beginning to its end.

    :param registry: is told of both.
    :param host: the client's; ``None`` if it is not known yet.
    """

    # Ten thousand of them may be idle.
    __slots__ = (
        "_registry",
        "connected",
        "host",
        "quiet_since",
        "seen",
        "sent",
        "taken",
        "taken_since",
        "transport",
        "why",
    )

    #: Twisted's connection, or a layer above it that hands on what it does not know.
    transport: typing.Any

    def __init__(self, registry: Registry, host: str | None) -> None:
        self.transport = None
        self._registry = registry
        self.host = host
        #: How many bytes have been handed to the transport: grows whenever something is received.
        self.sent = 0
        #: ``sent`` when it was last looked at, and when it was first seen to be that.
        self.seen = -1
        self.quiet_since = 0.0
        #: How many of the bytes ``sent`` the peer has taken, or that none wait; and since when it is that.
        self.taken = NOTHING_WAITS
        self.taken_since = 0.0
        #: Why the connection ends, in a few words, if it ends as intended.
        self.why = "connection lost"
        self.connected = 0

    def connectionMade(self) -> None:
        """Let it be watched."""
        self._registry.opened(self)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Make room for another connection."""
        self._registry.closed(self)

    def finish(self, why: str) -> None:
        """Read no more, and close once all that is owed has been sent."""
        self.why = why
        # With a producer that is paused the connection would stay for ever.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self, why: str) -> None:
        """Close now."""
        self.why = why
        self.transport.abortConnection()
