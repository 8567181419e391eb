"""
Twisted's connections, sending at once and in less memory.

In Twisted ``write`` only queues (https://github.com/twisted/twisted/issues/5303): each answer costs two
changes of the epoll set and one more turn of the reactor.  Here ``write`` sends while nothing is queued.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProducer, IProtocol, IReactorFDSet
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure


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

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send the pieces as one."""
        pieces = list(iovec)
        try:
            data = b"".join(pieces)
        except TypeError:
            super().writeSequence(pieces)  # says what is wrong
        else:
            self.write(data)

    def doRead(self) -> ConnectionDone | ConnectionLost | None:  # type: ignore[override]
        """
        Read once, as Twisted does but with a call less, and let the protocol answer.

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
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None


class EagerServer(_SendsAtOnce):
    """
    A TCP connection that sends at once, with what every connection has in slots.

    Ten thousand of them may be idle. Twisted keeps the attributes in a ``__dict__``, which costs CPython some
    600 bytes more: it makes a dictionary of its own for each connection that has written.
    """

    __slots__ = (
        "TLS",
        "_aborting",
        "_addressType",
        "_tempDataBuffer",
        "_tempDataLen",
        "bufferSize",
        "client",
        "connected",
        "dataBuffer",
        "disconnected",
        "disconnecting",
        "fileno",
        "hostname",
        "offset",
        "producer",
        "producerPaused",
        "protocol",
        "reactor",
        "repstr",
        "server",
        "sessionno",
        "socket",
        "streamingProducer",
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
        # A slot hides the default that Twisted's classes have for it.
        self._addressType: type[IPv4Address] | type[IPv6Address] = tcp.Server._addressType
        self.bufferSize = tcp.Server.bufferSize
        self.TLS = self._aborting = False
        self.connected = self.disconnected = self.disconnecting = self.offset = 0
        self.dataBuffer = b""
        self.producer: IProducer | None = None
        self.producerPaused = self.streamingProducer = False
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        self.repstr = ""

    def readConnectionLost(self, reason: Failure) -> None:
        """Tell the protocol that the client has half-closed; if it closes and all is sent, close now."""
        super().readConnectionLost(reason)
        # Twisted would first take another turn of the reactor, and send nothing in it: a tenth of the cost
        # of a short connection.
        unsent = self.dataBuffer or self._tempDataLen
        if self.disconnecting and self.connected and not (unsent or self.producer or self.TLS):
            self.stopWriting()
            self.connectionLost(reason)

    # Twisted makes these two names for each connection that it accepts; here they are made when needed.

    @property
    def logstr(self) -> str:
        """What stands before Twisted's log lines about this connection."""
        return f"{self._getLogPrefix(self.protocol)},{self.sessionno},{self.hostname}"

    @logstr.setter
    def logstr(self, made: str) -> None:
        pass

    def __repr__(self) -> str:
        protocol = type(getattr(self, "protocol", None)).__name__
        return f"<{protocol} #{self.sessionno} on {self.server._realPortNumber}>"


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
