"""
Twisted's connections, sending at once and in less memory.

In Twisted ``write`` only queues (https://github.com/twisted/twisted/issues/5303): each answer costs two
changes of the epoll set and one more turn of the reactor.  Here ``write`` sends while nothing is queued.
``writeSequence`` queues: protocols that have more to say use it, such as HTTP for the headers of a response.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IProducer, IProtocol, IReactorFDSet
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

_ENDED = Failure(CONNECTION_DONE)


def end_reading(connection: tcp.Server) -> None:
    """Read no more from a client, and tell the protocol of the connection that it has half-closed."""
    connection.stopReading()
    connection.readConnectionLost(_ENDED)


class _SendsAtOnce(tcp.Server):
    """Sends what is written at once, while nothing is queued and nothing else asks for the queue."""

    def write(self, data: bytes) -> None:
        """Send ``data``, and queue what the socket does not take."""
        if (
            self.dataBuffer
            or self._tempDataLen
            or not self.connected
            or self._aborting
            or self.TLS  # the data is for the TLS layer above
            or not (self.streamingProducer or self.producer is None)  # it waits for the queue to empty
            or type(data) is not bytes
        ):
            super().write(data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            sent = 0  # full, or failed: the reactor will find out
        if sent != len(data):
            super().write(data[sent:])

    def doRead(self) -> ConnectionLost | None:  # type: ignore[override]
        """
        Read once, as Twisted does but with fewer calls, and tell the protocol.

        Twisted reads a UNIX connection with ``recvmsg``. With ``recv`` no file descriptor is received that
        the client passes: the system closes it (unix(7)).
        """
        # The types of Twisted's base classes disagree: the one for aborted connections returns nothing.
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            end_reading(self)
            return None
        self.protocol.dataReceived(data)
        return None


class EagerServer(_SendsAtOnce):
    """
    A TCP connection that sends at once, with what every connection has in slots.

    Ten thousand of them may be idle. Twisted keeps the attributes in a ``__dict__``, which costs CPython some
    600 bytes more: it makes a dictionary of its own for each connection that has written.
    """

    __slots__ = (
        *("TLS", "_aborting", "_addressType", "_ending", "_tempDataBuffer", "_tempDataLen", "bufferSize"),
        *("client", "connected", "dataBuffer", "disconnected", "disconnecting", "fileno", "hostname"),
        *("offset", "producer", "producerPaused", "protocol", "reactor", "server", "sessionno"),
        *("socket", "streamingProducer"),
    )

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: tuple[Any, ...],
        server: tcp.Port,
        sessionno: int,
        reactor: IReactorFDSet,
    ) -> None:
        # What Twisted's constructors set, one of which calls the next.
        sock.setblocking(False)
        self.socket, self.fileno = sock, sock.fileno
        self.protocol, self.reactor = protocol, reactor
        self.client, self.server, self.sessionno = client, server, sessionno
        self.hostname = client[0]
        self._addressType = IPv4Address if len(client) == 2 else IPv6Address
        self._tempDataBuffer: list[bytes] = []
        self._tempDataLen = 0
        # A slot hides the default that Twisted's classes have for it.
        self.bufferSize = tcp.Server.bufferSize
        self.TLS = self._aborting = self._ending = False
        self.disconnected = self.disconnecting = self.offset = 0
        self.dataBuffer = b""
        self.producer: IProducer | None = None
        self.producerPaused = self.streamingProducer = False
        reactor.addReader(self)
        self.connected = 1

    def readConnectionLost(self, reason: Failure) -> None:
        """Tell the protocol that the client has half-closed; if it closes and all is sent, close now."""
        self._ending = True
        super().readConnectionLost(reason)
        self._ending = False
        if self.disconnecting and self.connected and not self._has_to_send():
            self.connectionLost(reason)

    def loseConnection(self) -> None:
        """Close when all is sent."""
        # If nothing is left, Twisted waits nevertheless until the socket can be written to.
        if self._ending and not self._has_to_send():
            self.disconnecting = 1
        else:
            super().loseConnection()

    def _has_to_send(self) -> bool:
        return bool(self.dataBuffer or self._tempDataLen or self.producer or self.TLS)

    def connectionLost(self, reason: Failure) -> None:
        """Close, as Twisted does but with fewer calls, and tell the protocol; do nothing the second time."""
        if not hasattr(self, "socket"):
            return
        self.disconnected, self.connected = 1, 0
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        self.stopReading()
        self.stopWriting()
        self._closeSocket(reason.type is not ConnectionAborted)
        protocol = self.protocol
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)

    # Twisted makes these two names for each connection that it accepts; here they are made when needed.

    @property
    def logstr(self) -> str:  # type: ignore[override]  # nobody sets it
        """What stands before Twisted's log lines about this connection."""
        return f"{self._getLogPrefix(self.protocol)},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        protocol = type(getattr(self, "protocol", None)).__name__
        return f"<{protocol} #{self.sessionno} on {self.server._realPortNumber}>"


class UNIXServer(unix.Server):
    """A UNIX connection of Twisted's that, read with ``recv``, receives no file descriptors."""

    doRead = tcp.Server.doRead  # type: ignore[assignment]


class EagerUNIXServer(_SendsAtOnce, unix.Server):
    """A UNIX connection that sends at once."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: bytes,
        server: unix.Port,
        sessionno: int,
        reactor: IReactorFDSet,
    ) -> None:
        # Urgent bytes stay in the stream; unlike a TCP connection, this one does not inherit that.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        super().__init__(sock, protocol, client, server, sessionno, reactor)

    def write(self, data: bytes) -> None:
        """Send ``data``, unless a file descriptor waits to be sent with it."""
        if self._sendmsgQueue:
            unix.Server.write(self, data)
        else:
            super().write(data)
