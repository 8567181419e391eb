"""Twisted's TCP connection, in less memory."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProducer, IProtocol, IReactorFDSet
from twisted.internet.tcp import Port, Server


class SlimServer(Server):
    """
    A :class:`Server` that keeps in slots what every connection has, for those that are idle by the thousand.

    What Twisted keeps in a ``__dict__`` costs CPython some 600 bytes more once a connection has
    written: then it makes a dictionary of its own for it.
    """

    __slots__ = (
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
        "logstr",
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
        server: Port,
        sessionno: int,
        reactor: IReactorFDSet,
    ) -> None:
        # A slot hides the default that Twisted's classes have for it.
        self._addressType: type[IPv4Address] | type[IPv6Address] = Server._addressType
        self.bufferSize = Server.bufferSize
        self.connected = self.disconnected = self.disconnecting = self.offset = 0
        self.dataBuffer = b""
        self.producer: IProducer | None = None
        self.producerPaused = self.streamingProducer = False
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        # Made when they are asked for.
        self.logstr = self.repstr = ""

    def logPrefix(self) -> str:
        """Return what stands before Twisted's log lines about this connection."""
        return f"{self._getLogPrefix(self.protocol)},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} #{self.sessionno} of {self.hostname}>"
