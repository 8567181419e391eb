"""Where the service listens."""

from __future__ import annotations

import socket
import sys
from typing import NoReturn

from twisted.application.internet import TCPServer
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorCore, IReactorTCP
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger("tsserv")


class CannotStart(SystemExit, Exception):
    """
    Ends ``twistd`` with status 1 and without a traceback.

    It is a ``SystemExit`` for the interpreter, and an ``Exception`` for twistd, which then takes its
    pid file away and hands the message to the process that waits for the daemon to start.
    """

    # twistd hands on the first 100 bytes of class and message, and a module would be part of them.
    __module__ = "builtins"

    code = 1


def _host_port(host: str, port: int) -> str:
    """Return host and port as one writes them, an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _shown(address: IPv4Address | IPv6Address | UNIXAddress) -> str:
    if isinstance(address, UNIXAddress):
        return f"unix:{(address.name or b'').decode(errors='backslashreplace')}"
    return _host_port(address.host, address.port)


def _refuse(where: str, error: BaseException | None) -> NoReturn:
    """End the program with one line: it cannot listen."""
    # Twisted wraps what socket() and bind() raise, and lets the error of listen() through.
    cause = error.socketError if isinstance(error, CannotListenError) else error
    message = f"Couldn't listen on {where}: {getattr(cause, 'strerror', None) or cause}"
    _log.critical("{message}", message=message)
    print(message, file=sys.__stderr__)  # sys.stderr has become the log
    raise CannotStart(message) from error


def _prepare(port: Port) -> None:
    """Set what every connection takes over from its listener: small answers at once, dead peers noticed."""
    if port.socket.family != socket.AF_UNIX:
        port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _accept_the_rest(port: Port, backlog: int) -> None:
    """Serve whoever is already connected to the system and waits to be accepted."""
    port.numberAccepts = backlog
    port.doRead()


class Listener(TCPServer):
    """
    A :class:`TCPServer` that says where it listens, and ends the program with one line if it cannot.

    :param port: 0 lets the system choose.
    :param factory: makes the protocol of each connection.
    :param interface: an IP address; ``0.0.0.0`` is all of IPv4, ``::`` all of both families.
    :param backlog: how many connections may wait to be accepted; the system may cap it.
    :param reactor: does the listening.
    """

    def __init__(
        self, port: int, factory: Factory, *, interface: str, backlog: int, reactor: IReactorTCP
    ) -> None:
        super().__init__(port, factory, interface=interface, backlog=backlog, reactor=reactor)
        self._wanted = _host_port(interface, port)

    def privilegedStartService(self) -> None:
        """
        Listen.

        :raises CannotStart: if the address is in use, not permitted or not of this machine.
        """
        try:
            super().privilegedStartService()
        except (CannotListenError, OSError) as error:
            _refuse(self._wanted, error)
        _prepare(self._listening())

    def startService(self) -> None:
        """Say where it listens: which port, if the system chose it."""
        super().startService()
        _log.info("listening on {where}", where=_shown(self._listening().getHost()))

    def stopService(self) -> Deferred[None]:
        """
        Listen no more, but serve whoever is already connected to the system and waits to be accepted.

        :return: fires when the port is closed.
        """
        _accept_the_rest(self._listening(), self.kwargs["backlog"])
        stopped: Deferred[None] = super().stopService()
        return stopped

    def _listening(self) -> Port:
        port: Port | None = self._port
        assert port is not None
        return port


class EndpointListener(Service):
    """
    Listens on an endpoint, says where, and ends the program with one line if it cannot.

    :param description: of a Twisted server endpoint, which :mod:`tsserv.net.endpoints` has found good.
    :param factory: makes the protocol of each connection.
    :param backlog: how many connections may wait to be accepted, where the description does not say.
    :param reactor: does the listening.
    """

    _port: Port

    def __init__(self, description: str, factory: Factory, *, backlog: int, reactor: IReactorCore) -> None:
        self._endpoint = serverFromString(reactor, description)
        self._description = description
        self._factory = factory
        self._backlog = backlog

    def privilegedStartService(self) -> None:
        """
        Listen.

        :raises CannotStart: if that cannot be: in use, not permitted, a file in the way.
        """
        super().privilegedStartService()
        failures: list[Failure] = []
        self._endpoint.listen(self._factory).addCallbacks(self._listens, failures.append)
        if failures:
            _refuse(self._description, failures[0].value)

    def _listens(self, port: Port) -> None:
        self._port = port
        _prepare(port)
        # Twisted's endpoints let 50 wait, and a burst of 5,000 takes a minute to come in; systemd's own
        # sockets have what their unit says.
        if "backlog=" not in self._description and not self._description.startswith("systemd:"):
            port.socket.listen(self._backlog)

    def startService(self) -> None:
        """Say where it listens: which port, if the system chose it."""
        super().startService()
        _log.info("listening on {where}", where=_shown(self._port.getHost()))

    def stopService(self) -> Deferred[None]:
        """
        Listen no more, but serve whoever is already connected to the system and waits to be accepted.

        :return: fires when the port is closed.
        """
        super().stopService()
        _accept_the_rest(self._port, self._backlog)
        return maybeDeferred(self._port.stopListening)
