"""Where the service listens."""

from __future__ import annotations

import sys

from twisted.application.internet import TCPServer
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Factory
from twisted.logger import Logger

_log = Logger()


class CannotStart(SystemExit, Exception):
    """
    Ends ``twistd`` with status 1 and without a traceback.

    It is a ``SystemExit`` for the interpreter, and an ``Exception`` for twistd, which then takes its
    pid file away and hands the message to the process that waits for the daemon to start.
    """

    code = 1


def _host_port(host: str, port: int) -> str:
    """Return host and port as one writes them, an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
            # Twisted wraps what socket() and bind() raise, and lets the error of listen() through.
            cause: OSError = error.socketError if isinstance(error, CannotListenError) else error
            message = f"Couldn't listen on {self._wanted}: {cause.strerror}"
            _log.critical("{message}", message=message)
            print(message, file=sys.__stderr__)  # sys.stderr has become the log
            raise CannotStart(message) from error

    def startService(self) -> None:
        """Say where it listens: which port, if the system chose it."""
        super().startService()
        assert self._port is not None
        address: IPv4Address | IPv6Address = self._port.getHost()
        _log.info("listening on {where}", where=_host_port(address.host, address.port))
        _log.info("waiting for connection...")

    def stopService(self) -> Deferred[None]:
        """
        Listen no more, but serve whoever is already connected to the system and waits to be accepted.

        :return: fires when the port is closed.
        """
        assert self._port is not None
        self._port.numberAccepts = self.kwargs["backlog"]
        self._port.doRead()
        stopped: Deferred[None] = super().stopService()
        return stopped
