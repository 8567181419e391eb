"""The service as a Twisted protocol and its factory."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from tsserv.connections.accesslog import AccessLog
from tsserv.connections.admission import ProxyItself, host_and_port
from tsserv.connections.registry import Connections
from tsserv.connections.tracked import Peer, Registry
from tsserv.framing import Answer, ChunkFraming, LineFraming
from tsserv.net.queues import buffered


@implementer(IHalfCloseableProtocol)
class TimestampProtocol(Peer):
    """
    Answers each chunk, in one write; any bytes are welcome.

    :param answer: makes the answer to a chunk.
    :param read_size: how many bytes to read at once.
    :param registry: is told when the connection begins and ends, and watches it meanwhile.
    :param log: is told too.
    :param host: the client's, for both.
    :param port: the client's, or ``None`` if it has none.
    :param quiet: whether it is not worth a line of log that it opens.
    """

    __slots__ = ("_answer", "_log", "_read_size", "chunks", "opened_at", "port", "quiet", "received")

    host: str

    def __init__(
        self,
        answer: Answer,
        read_size: int,
        registry: Registry,
        log: AccessLog,
        host: str,
        port: int | None,
        quiet: bool = False,
    ) -> None:
        super().__init__(registry, host)
        self._answer = answer
        self._read_size = read_size
        self._log = log
        self.port = port
        self.quiet = quiet
        # For the log.
        self.opened_at = 0.0
        self.chunks = self.received = 0

    def connectionMade(self) -> None:
        """Set up the connection: the size of a read, and backpressure."""
        super().connectionMade()
        self._log.opened(self)
        self.transport.bufferSize = self._read_size
        # The transport is the producer of its own answers: it stops reading while too many are unsent.
        self.transport.registerProducer(self.transport, streaming=True)

    def dataReceived(self, data: bytes) -> None:
        """Answer one chunk."""
        answer = self._answer(data)
        self.chunks += 1
        self.received += len(data)
        self.sent += len(answer)
        self.transport.write(answer)

    def readConnectionLost(self) -> None:
        """The client has sent all that it wants to: close once it has its answers."""
        self.finish("ended by the client")

    def writeConnectionLost(self) -> None:
        """Do nothing: the writing side is never closed alone."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Make room for another connection."""
        lost = reason is not None and reason.type is ConnectionLost
        self._log.ended(self, buffered(self.transport), "connection lost" if lost else self.why)
        super().connectionLost(reason)


class TimestampFactory(Factory):
    """
    Makes a :class:`TimestampProtocol` for each connection that may come.

    :param framing: where the stamps go.
    :param connections: says which connections may come.
    :param log: is told of each.
    """

    noisy = False  # the service itself says where it listens

    def __init__(self, framing: ChunkFraming | LineFraming, connections: Connections, log: AccessLog) -> None:
        self._framing = framing
        self._connections = connections
        self._log = log

    def buildProtocol(self, addr: IAddress | None) -> TimestampProtocol | None:
        """Return the protocol of a new connection from ``addr``, or ``None`` to close it at once."""
        host, port = host_and_port(addr)
        if not self._connections.admits(host):
            return None
        framing = self._framing
        return TimestampProtocol(
            framing.new(),
            framing.read_size,
            self._connections,
            self._log,
            host,
            port,
            quiet=isinstance(addr, ProxyItself),
        )
