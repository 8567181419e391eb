"""
TCP and UNIX listeners with a shorter way through the reactor.

Twisted sets up a logging context for each event. The listeners of an :class:`EagerReactor` and their
connections have their own epoll set instead, and the connections send at once. Those of a
:class:`PlainReactor` have Twisted's own way.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet import unix
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.interfaces import IProtocolFactory, IReactorFDSet
from twisted.logger import Logger

from tsserv.net.nesting import WaitingEpollSet
from tsserv.net.port import EagerPort, EagerUNIXPort, log_accept_error
from tsserv.net.server import UNIXServer
from tsserv.net.wrapper import WatchingReactor, Wrapper

_log = Logger("tsserv")

_Port = TypeVar("_Port", bound="EagerPort | EagerUNIXPort")


def eager(reactor: Any, **options: Any) -> Any:  # noqa: ANN401 (any reactor, whatever it provides)
    """Return an :class:`EagerReactor`, or a :class:`PlainReactor` if there is no epoll, or are no readers."""
    if hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor):
        return EagerReactor(reactor, **options)
    _log.info("serving with {reactor} itself: it has no epoll, or takes no readers", reactor=reactor)
    return PlainReactor(reactor)


class PlainReactor(Wrapper):
    """Wraps a reactor: on ``::`` it listens for IPv4 too, and no client can pass it file descriptors."""

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> Any:  # noqa: ANN401
        """See :class:`twisted.internet.interfaces.IReactorTCP`."""
        if ":" not in interface:
            return self._reactor.listenTCP(port, factory, backlog, interface)
        with socket.socket(socket.AF_INET6) as made:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # whatever net.ipv6.bindv6only says
            made.bind(socket.getaddrinfo(interface, port, socket.AF_INET6)[0][4])  # with its scope
            made.listen(backlog)
            return self._reactor.adoptStreamPort(made.fileno(), socket.AF_INET6, factory)

    def listenUNIX(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        """See :class:`twisted.internet.interfaces.IReactorUNIX`."""
        return _without_descriptors(self._reactor.listenUNIX(*arguments, **keywords))

    def adoptStreamPort(self, *arguments: Any) -> Any:  # noqa: ANN401
        """See :class:`twisted.internet.interfaces.IReactorSocket`."""
        return _without_descriptors(self._reactor.adoptStreamPort(*arguments))


def _without_descriptors(port: Any) -> Any:  # noqa: ANN401
    """Return ``port``, whose connections receive no file descriptors."""
    if isinstance(port, unix.Port):
        port.transport = UNIXServer
    return port


class EagerReactor(WatchingReactor):
    """
    Wraps a reactor: listens with its own epoll set, and hands everything else on.

    :param reactor: the real one, which has the epoll set as a reader.
    :param reuse_port: whether other processes may listen on the same TCP ports.
    :param accept_failed: is called with each error of ``accept`` that Twisted does not handle.
    """

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401
        *,
        reuse_port: bool = False,
        accept_failed: Callable[[OSError], None] = log_accept_error,
    ) -> None:
        super().__init__(reactor, WaitingEpollSet(reactor))
        self.epoll_set.reactor = self
        self._reuse_port = reuse_port
        self._accept_failed = accept_failed

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> EagerPort:
        """See :class:`twisted.internet.interfaces.IReactorTCP`."""
        made = EagerPort(port, factory, backlog, interface, self)
        made.reuse_port = self._reuse_port
        return self._started(made)

    def listenUNIX(
        self,
        address: bytes,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> EagerUNIXPort:
        """See :class:`twisted.internet.interfaces.IReactorUNIX`."""
        return self._started(EagerUNIXPort(address, factory, backlog, mode, self, wantPID))

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> EagerPort | EagerUNIXPort:
        """See :class:`twisted.internet.interfaces.IReactorSocket`."""
        port: EagerPort | EagerUNIXPort
        if addressFamily == socket.AF_UNIX:
            port = EagerUNIXPort._fromListeningDescriptor(self, fileDescriptor, factory)
        elif addressFamily in (socket.AF_INET, socket.AF_INET6):
            port = EagerPort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        else:
            raise UnsupportedAddressFamily(addressFamily)
        return self._started(port)

    def _started(self, port: _Port) -> _Port:
        port.accept_failed = self._accept_failed
        port.startListening()
        if port.addressFamily != socket.AF_UNIX:
            # The second of two writes must not wait until the peer acknowledges the first (tcp(7)).
            port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return port
