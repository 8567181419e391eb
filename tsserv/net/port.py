"""Twisted's ports, whose connections send at once."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IReactorTime
from twisted.internet.tcp import _reservedFD
from twisted.logger import Logger

from tsserv.net.server import EagerServer, EagerUNIXServer

_log = Logger("tsserv")

# Errors of accept by which the system says that it has no room: the client still waits.
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# How many clients a listener accepts before others have their turn.
_MOST = 20

# How long a listener waits for room before it tries again, in seconds.
_PAUSE = 0.1


def log_accept_error(error: OSError) -> None:
    """Log an error of ``accept``."""
    _log.warn("cannot accept a connection: {error}", error=error)


class _QuickPort(tcp.Port):
    """A listener that accepts in fewer steps than Twisted's, and reports each error of ``accept``."""

    #: Is called with each error.
    accept_failed: Callable[[OSError], None]
    #: How many clients to accept in a turn.
    numberAccepts = 1

    def doRead(self) -> None:
        """
        Accept clients that wait.

        Linux reports errors of the network here that have already ended the new connection, and says to
        treat them as if nobody waited (accept(2), "Error handling"). Twisted would log a traceback for most.
        """
        asked = 0
        while asked < self.numberAccepts:
            try:
                fd, address = self.socket._accept()  # type: ignore[union-attr]  # private, so mypy has no type for it
            except BlockingIOError:
                break
            except OSError as error:
                self._accept_failed(error)
                if error.errno in _NO_ROOM:
                    break
            else:
                try:
                    self._begin(fd, address)
                except BaseException:  # the epoll set would take it for the end of the listener
                    _log.failure("Unhandled error in {factory}", factory=self.factory)
            asked += 1
        # To ask in vain takes 1.7 microseconds: no more are expected the next time, unless all were there.
        self.numberAccepts = _MOST if asked == self.numberAccepts else max(1, asked)

    def _begin(self, fd: int, address: Any) -> None:  # noqa: ANN401 (its type depends on the family)
        # accept() of a socket takes 1.6 microseconds more: it looks up the names of its family and type.
        made = socket.socket(self.addressFamily, self.socketType, 0, fd)
        if self.addressFamily == socket.AF_INET6 and address[3]:  # the host lacks its zone
            host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
            address = (host, *address[1:])
        assert self.factory is not None
        protocol = None
        try:
            protocol = self.factory.buildProtocol(self._buildAddr(address))
        finally:
            if protocol is None:
                made.close()
        if protocol is not None:
            transport = self.transport(made, protocol, address, self, self.sessionno, self.reactor)
            self.sessionno += 1
            protocol.makeConnection(transport)

    def _accept_failed(self, error: OSError) -> None:
        self.accept_failed(error)
        if error.errno == errno.EMFILE and _reservedFD.available():
            # Turn one away, with the descriptor that this frees for the moment.
            with _reservedFD, contextlib.suppress(OSError):
                fd, _ = self.socket._accept()  # type: ignore[union-attr]  # private, so mypy has no type for it
                os.close(fd)
        elif error.errno in _NO_ROOM:
            self.stopReading()
            IReactorTime(self.reactor).callLater(_PAUSE, self._try_again)

    def _try_again(self) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()


class EagerPort(_QuickPort):
    """A TCP listener whose connections send at once."""

    transport = EagerServer
    #: Whether other processes may listen on the same port, each for a share of the connections (socket(7)).
    reuse_port = False

    def createInternetSocket(self) -> socket.socket:
        """Return a socket to listen on."""
        made: socket.socket = super().createInternetSocket()
        if made.family == socket.AF_INET6:  # "::" is IPv4 too, whatever net.ipv6.bindv6only says (ip(7))
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if self.reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return made


class EagerUNIXPort(_QuickPort, unix.Port):
    """A UNIX listener whose connections send at once."""

    transport = EagerUNIXServer
