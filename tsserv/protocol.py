"""The service as a Twisted protocol and its factory."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tsserv.admission import plain_host
from tsserv.connections import Connections
from tsserv.framing import Answer, ChunkFraming, LineFraming

_log = Logger()


@implementer(IHalfCloseableProtocol)
class TimestampProtocol(Protocol):
    """
    Answers each chunk, in one write; any bytes are welcome.

    :param answer: makes the answer to a chunk.
    :param read_size: how many bytes to read at once.
    :param connections: is told when the connection begins and ends, and watches it meanwhile.
    :param host: the client's, for the log.
    """

    # Ten thousand of them may be idle.
    __slots__ = (
        "_answer",
        "_connections",
        "_read_size",
        "connected",
        "host",
        "quiet_since",
        "seen",
        "sent",
        "taken",
        "taken_since",
        "transport",
    )

    transport: Connection

    def __init__(self, answer: Answer, read_size: int, connections: Connections, host: str) -> None:
        self._answer = answer
        self._read_size = read_size
        self._connections = connections
        self.host = host
        # For tsserv.connections.Peer: as yet nothing has been seen and nothing waits.
        self.sent = 0
        self.seen = self.taken = -1
        self.quiet_since = self.taken_since = 0.0
        self.connected = 0

    def connectionMade(self) -> None:
        """Set up the connection: the size of a read, and backpressure."""
        self._connections.opened(self)
        _log.info("...connected from: {host}", host=self.host)
        self.transport.bufferSize = self._read_size
        # The transport is the producer of its own answers: it stops reading while too many are unsent.
        self.transport.registerProducer(self.transport, streaming=True)

    def dataReceived(self, data: bytes) -> None:
        """Answer one chunk."""
        answer = self._answer(data)
        self.sent += len(answer)
        self.transport.write(answer)

    def readConnectionLost(self) -> None:
        """The client has sent all that it wants to: close once it has its answers."""
        self.finish()

    def writeConnectionLost(self) -> None:
        """Do nothing: the writing side is never closed alone."""

    def finish(self) -> None:
        """Read no more, and close once every answer has been sent."""
        # With a producer that is paused the connection would stay for ever.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Make room for another connection."""
        self._connections.closed(self)


class TimestampFactory(Factory):
    """
    Makes a :class:`TimestampProtocol` for each connection that may come.

    :param framing: where the stamps go.
    :param connections: says which connections may come.
    """

    noisy = False  # the service itself says where it listens

    def __init__(self, framing: ChunkFraming | LineFraming, connections: Connections) -> None:
        self._framing = framing
        self._connections = connections

    def buildProtocol(self, addr: IAddress | None) -> TimestampProtocol | None:
        """Return the protocol of a new connection from ``addr``, or ``None`` to close it at once."""
        host = plain_host(addr.host) if isinstance(addr, (IPv4Address, IPv6Address)) else "unix"
        if not self._connections.admits(host):
            return None
        return TimestampProtocol(self._framing.new(), self._framing.read_size, self._connections, host)
