"""The service as a Twisted protocol and its factory."""

from __future__ import annotations

from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from tsserv.connections.address import Client, ClientFactory
from tsserv.connections.registry import Connections, TrackedProtocol
from tsserv.framing import Answer, Framing


@implementer(IHalfCloseableProtocol)
class TimestampProtocol(TrackedProtocol):
    """
    Answers each chunk, in one write; any bytes are welcome.

    :param answer: makes the answer to a chunk; see :class:`tsserv.framing.Framing`.
    :param read_size: how many bytes to read at once, at most.
    :param connections: is told when the connection opens and when it has ended.
    :param client: the client.
    """

    __slots__ = ("_answer", "_read_size", "at_line_start")

    def __init__(self, answer: Answer, read_size: int, connections: Connections, client: Client) -> None:
        # The health check of a proxy is not worth a line of log.
        super().__init__(connections, client, announced=not client.is_proxy)
        self._answer = answer
        self._read_size = read_size
        #: For the framing: whether the next byte that arrives begins a line.
        self.at_line_start = True

    def connectionMade(self) -> None:
        """Set up the connection: the size of a read, and backpressure."""
        self._connections.opened(self)
        self.transport.bufferSize = self._read_size
        # The transport is the producer of its own answers: it stops reading while too many are unsent.
        self.transport.registerProducer(self.transport, streaming=True)

    def dataReceived(self, data: bytes) -> None:
        """Answer one chunk."""
        answer = self._answer(data, self)
        self.chunks += 1
        self.received += len(data)
        self.sent += len(answer)
        self.transport.write(answer)

    def readConnectionLost(self) -> None:
        """Close when all answers are sent: the client has half-closed, and sends nothing more."""
        self.finish("ended by the client")

    def writeConnectionLost(self) -> None:
        """Do nothing: the service never half-closes."""


class TimestampFactory(ClientFactory):
    """
    Makes a :class:`TimestampProtocol` for each connection that is let in.

    :param framing: makes the answers.
    :param connections: lets clients in.
    """

    def __init__(self, framing: Framing, connections: Connections) -> None:
        self._answer = framing.answer  # once: each look-up of a method makes an object
        self._read_size = framing.read_size
        self._connections = connections

    def protocol_for(self, client: Client) -> TimestampProtocol | None:
        """Return the protocol of a new connection from ``client``, or ``None`` to close it at once."""
        if not self._connections.admits(client):
            return None
        return TimestampProtocol(self._answer, self._read_size, self._connections, client)
