"""Twisted's ports, whose connections send at once."""

from __future__ import annotations

import socket

from twisted.internet import tcp, unix

from tsserv.net.server import EagerServer, EagerUNIXServer


class EagerPort(tcp.Port):
    """A TCP listener whose connections send at once."""

    transport = EagerServer
    #: Whether other processes may listen on the same port, each for a share of the connections (socket(7)).
    reuse_port = False

    def createInternetSocket(self) -> socket.socket:
        """Return a socket to listen on."""
        made: socket.socket = super().createInternetSocket()
        if self.reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return made


class EagerUNIXPort(unix.Port):
    """A UNIX listener whose connections send at once."""

    transport = EagerUNIXServer
