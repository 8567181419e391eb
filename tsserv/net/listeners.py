"""Services that listen, log where, and end the program with one line if they cannot."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any, NoReturn

from twisted.application.internet import TCPServer, _AbstractServer
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorCore, IReactorTCP
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure

from tsserv.net.closing import accept_and_close, refuse_new_clients
from tsserv.net.endpoints import server_endpoint
from tsserv.net.inherited import set_options
from tsserv.net.socketfile import SocketFile

_log = Logger("tsserv")

# How long clients that have begun to connect may take to finish the handshake, in seconds.
_ROUND_TRIP = 0.2


class CannotStart(SystemExit, Exception):
    """
    Ends ``twistd`` with status 1 and without a traceback.

    It is a ``SystemExit`` for the interpreter, and an ``Exception`` for twistd, which then removes its pid
    file and hands the message to the process that waits for the daemon to start.
    """

    # twistd hands on no more than 100 bytes of class and message; a module would take a third of them.
    __module__ = "builtins"

    code = 1


class _Listening(_AbstractServer):
    """What all listeners do; Twisted's part of it makes the port, ``_port``, by ``_getPort``."""

    _port: Any
    _socket_buffer: int
    #: Where it is asked to listen, for messages.
    _place: str
    #: What the log says when it listens.
    line = "listening on {place}"

    def privilegedStartService(self) -> None:
        """
        Listen.

        :raises CannotStart: if the address is in use, not permitted or not of this machine, ...
        """
        try:
            super().privilegedStartService()
            set_options(self._port.socket, self._socket_buffer)
        except Exception as error:  # what an endpoint raises depends on its kind
            _refuse(self._place, error)

    def startService(self) -> None:
        """Log where it listens: which port, if the system chose it."""
        super().startService()
        #: Where it listens, or has listened, as the log shows it.
        self.address = _shown(self._port.getHost())
        _log.info(self.line, place=self.address)

    def stopService(self) -> Deferred[None] | None:
        """
        Stop listening, and serve every client that the system has connected.

        :return: fires when the port is closed; ``None`` if it is.
        """
        Service.stopService(self)
        if self._turn_away():
            return deferLater(self._port.reactor, _ROUND_TRIP, accept_and_close, self._port)
        accept_and_close(self._port)
        return None

    def _turn_away(self) -> bool:
        """Let no new client begin to connect; return whether the system can do that."""
        return refuse_new_clients(self._port.socket)


class Listener(_Listening, TCPServer):
    """
    A :class:`TCPServer` on a port.

    :param port: 0 lets the system choose.
    :param factory: makes the protocol of each connection.
    :param interface: an IP address; ``0.0.0.0`` is all of IPv4, ``::`` all of both families.
    :param backlog: how many connections may wait to be accepted; the system may cap it.
    :param socket_buffer: see :func:`tsserv.net.inherited.set_options`.
    :param reactor: listens.
    """

    def __init__(
        self,
        port: int,
        factory: Factory,
        *,
        interface: str,
        backlog: int,
        socket_buffer: int,
        reactor: IReactorTCP,
    ) -> None:
        super().__init__(port, factory, interface=interface, backlog=backlog, reactor=reactor)
        self._place = _host_port(interface, port)
        self._socket_buffer = socket_buffer


class EndpointListener(_Listening):
    """
    Listens on an endpoint of Twisted's.

    :param description: of the endpoint; :mod:`tsserv.net.endpoints` has found it to be valid.
    :param factory: makes the protocol of each connection.
    :param backlog: how many connections may wait to be accepted, if the description does not say.
    :param socket_buffer: see :func:`tsserv.net.inherited.set_options`.
    :param reactor: listens.
    """

    def __init__(
        self, description: str, factory: Factory, *, backlog: int, socket_buffer: int, reactor: IReactorCore
    ) -> None:
        super().__init__()
        self._endpoint = server_endpoint(reactor, description)
        self._place = description
        self._factory = factory
        self._backlog = backlog
        self._socket_buffer = socket_buffer
        self._file: SocketFile | None = None
        if description.startswith("unix:"):
            self._file = SocketFile(self._endpoint._address)
            self._endpoint._wantPID = False  # no lock file: a pid in it proves nothing

    def _getPort(self) -> Port:
        listened: list[Port | Failure] = []
        with self._file.taken_over() if self._file else nullcontext():
            self._endpoint.listen(self._factory).addBoth(listened.append)
            [port] = listened  # none of these endpoints waits for anything
            if isinstance(port, Failure):
                port.raiseException()
        # Twisted's endpoints let 50 wait, and a burst of 5,000 takes a minute to come in; systemd's own
        # sockets have what their unit says.
        if "backlog=" not in self._place and not self._place.startswith("systemd:"):
            port.socket.listen(self._backlog)
        return port

    def _turn_away(self) -> bool:
        if self._file:
            self._file.remove()
            return True
        # systemd goes on holding a socket that it has passed: clients wait in it for the next process.
        return not self._place.startswith("systemd:") and super()._turn_away()


def _refuse(place: str, error: Exception) -> NoReturn:
    """End the program with one line: it cannot listen."""
    # Twisted wraps what socket() and bind() raise, and lets the error of listen() through.
    cause = error.socketError if isinstance(error, CannotListenError) else error
    # The reason comes first, since twistd cuts the message short.
    message = f"{getattr(cause, 'strerror', None) or cause}: cannot listen on {place}"
    _log.critical("{message}", message=message)
    print(message, file=sys.__stderr__)  # sys.stderr has become the log
    raise CannotStart(message) from error


def _host_port(host: str, port: int) -> str:
    """Return host and port as they are written, an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _shown(address: IPv4Address | IPv6Address | UNIXAddress) -> str:
    if isinstance(address, UNIXAddress):
        return f"unix:{(address.name or b'').decode(errors='backslashreplace')}"
    return _host_port(address.host, address.port)
