"""Twisted's ports, whose connections send at once."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from tsserv.net.server import EagerServer, EagerUNIXServer

_log = Logger("tsserv")

# Errors of accept by which the system says that it has no room: the client still waits.
_NO_ROOM = (errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# How long a listener waits for room before it tries again, in seconds.
_PAUSE = 0.1


def log_accept_error(error: OSError) -> None:
    """Log an error of ``accept``."""
    _log.warn("cannot accept a connection: {error}", error=error)


class _ListeningSocket(socket.socket):
    """A listening socket that reports errors of ``accept``, and then has nothing to accept."""

    #: Is called with each error.
    report: Callable[[OSError], None]

    def accept(self) -> tuple[socket.socket, Any]:
        """
        Accept a connection.

        Linux reports errors of the network here that have already ended the new connection, and says to
        treat them as if nobody waited (accept(2), "Error handling"). Twisted would log a traceback for most.

        :raises BlockingIOError: if there is nothing to accept.
        :raises OSError: ``EMFILE``, for which Twisted has a file descriptor in reserve.
        """
        try:
            return super().accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EMFILE):
                raise
            self.report(error)
            raise BlockingIOError(errno.EAGAIN, "nothing to accept") from error


class _ReportsErrors(tcp.Port):
    """A listener that reports errors of ``accept``, and pauses while the system has no room."""

    #: Is called with each.
    accept_failed: Callable[[OSError], None]

    def startListening(self) -> None:
        """
        Listen.

        :raises CannotListenError: if that cannot be.
        """
        super().startListening()
        plain = self.socket
        self.socket = _ListeningSocket(plain.family, plain.type, plain.proto, plain.detach())
        self.socket.setblocking(False)
        self.socket.report = self._accept_failed
        self.fileno = self.socket.fileno  # type: ignore[method-assign]

    def _accept_failed(self, error: OSError) -> None:
        self.accept_failed(error)
        if error.errno in _NO_ROOM:
            self.stopReading()
            IReactorTime(self.reactor).callLater(_PAUSE, self._try_again)

    def _try_again(self) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()


class EagerPort(_ReportsErrors):
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


class EagerUNIXPort(_ReportsErrors, unix.Port):
    """A UNIX listener whose connections send at once."""

    transport = EagerUNIXServer
