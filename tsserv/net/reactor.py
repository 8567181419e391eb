"""
TCP and UNIX listeners with a shorter way through the reactor.

Twisted sets up a logging context for each event.  Here the listeners and their connections have an epoll
set of their own, which is one reader of the real reactor, and the connections send at once.
"""

from __future__ import annotations

import select
import socket
from typing import Any, TypeVar

from twisted.internet import tcp
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.interfaces import IProtocolFactory, IReactorFDSet, IReadDescriptor
from twisted.internet.posixbase import _DisconnectSelectableMixin
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.log import callWithLogger
from zope.interface import directlyProvides, implementer, providedBy

from tsserv.net.port import EagerPort, EagerUNIXPort

_log = Logger("tsserv")

_Port = TypeVar("_Port", bound=tcp.Port)

# EPOLLIN and EPOLLOUT (Linux: epoll_ctl(2)); where there is no epoll, Python's select has no such names.
_IN, _OUT = 1, 4

# How many descriptors are served before the real reactor has its turn, with its timers and signals.
_BATCH = 128


def eager(reactor: Any, *, reuse_port: bool = False) -> Any:  # noqa: ANN401 (any reactor, whatever it provides)
    """Return an :class:`EagerReactor`, or ``reactor`` itself where that cannot be: no epoll, no readers."""
    if hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor):
        return EagerReactor(reactor, reuse_port=reuse_port)
    _log.info("serving with {reactor} itself: it has no epoll, or takes no readers", reactor=reactor)
    return reactor


@implementer(IReactorFDSet, IReadDescriptor)
class EagerReactor(_DisconnectSelectableMixin):
    """
    A face over a reactor: listens with an epoll set of its own, and hands everything else on.

    :param reactor: the real one, of which the epoll set is a reader.
    :param reuse_port: whether other processes may listen on the same TCP ports.
    """

    def __init__(self, reactor: Any, *, reuse_port: bool = False) -> None:  # noqa: ANN401
        self._reactor = reactor
        self._reuse_port = reuse_port
        self._epoll: select.epoll | None = None
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._reactor, name)

    # Listening

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> EagerPort:
        """See :class:`twisted.internet.interfaces.IReactorTCP`."""
        made = EagerPort(port, factory, backlog, interface, self)
        made.reuse_port = self._reuse_port
        return self._listening(made)

    def listenUNIX(
        self,
        address: bytes,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> EagerUNIXPort:
        """See :class:`twisted.internet.interfaces.IReactorUNIX`."""
        return self._listening(EagerUNIXPort(address, factory, backlog, mode, self, wantPID))

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> tcp.Port:
        """See :class:`twisted.internet.interfaces.IReactorSocket`."""
        port: tcp.Port
        if addressFamily == socket.AF_UNIX:
            port = EagerUNIXPort._fromListeningDescriptor(self, fileDescriptor, factory)
        elif addressFamily in (socket.AF_INET, socket.AF_INET6):
            port = EagerPort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        else:
            raise UnsupportedAddressFamily(addressFamily)
        return self._listening(port)

    def _listening(self, port: _Port) -> _Port:
        port.startListening()
        return port

    # What listeners and connections ask of their reactor: IReactorFDSet

    def addReader(self, reader: IReadDescriptor) -> None:
        """Tell ``reader`` when it can read."""
        self._add(reader, self._readers, self._writers)

    def addWriter(self, writer: Any) -> None:  # noqa: ANN401
        """Tell ``writer`` when it can write."""
        self._add(writer, self._writers, self._readers)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Tell ``reader`` no more when it can read."""
        self._remove(reader, self._readers, self._writers)

    def removeWriter(self, writer: Any) -> None:  # noqa: ANN401
        """Tell ``writer`` no more when it can write."""
        self._remove(writer, self._writers, self._readers)

    def removeAll(self) -> list[Any]:
        """Forget and return all descriptors, here and in the real reactor."""
        ours = {*self._readers.values(), *self._writers.values()}
        for descriptor in ours:
            self.removeReader(descriptor)
            self.removeWriter(descriptor)
        return [*ours, *self._reactor.removeAll()]

    def getReaders(self) -> list[Any]:
        """Return who is told when it can read, here and in the real reactor."""
        return [*self._readers.values(), *self._reactor.getReaders()]

    def getWriters(self) -> list[Any]:
        """Return who is told when it can write, here and in the real reactor."""
        return [*self._writers.values(), *self._reactor.getWriters()]

    def _add(self, descriptor: Any, these: dict[int, Any], others: dict[int, Any]) -> None:  # noqa: ANN401
        fd = descriptor.fileno()
        if fd in these:
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        if fd in others:
            self._epoll.modify(fd, _IN | _OUT)
        else:
            self._epoll.register(fd, _IN if these is self._readers else _OUT)
        these[fd] = descriptor

    def _remove(self, descriptor: Any, these: dict[int, Any], others: dict[int, Any]) -> None:  # noqa: ANN401
        fd = descriptor.fileno()
        if fd not in these or self._epoll is None:
            return
        if fd in others:
            self._epoll.modify(fd, _IN if others is self._readers else _OUT)
        else:
            self._epoll.unregister(fd)
        del these[fd]

    # What the real reactor asks of its reader: IReadDescriptor

    def fileno(self) -> int:
        """Return the descriptor of the epoll set, which is readable when any in it is ready."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """Return what stands before log lines of the real reactor about this reader."""
        return "tsserv"

    def doRead(self) -> None:
        """Serve the descriptors that are ready, and those that become so meanwhile, up to a batch."""
        readers, writers = self._readers, self._writers
        served = 0
        # The end of the last connection may be the end of the reactor, and with it of the epoll set.
        while served < _BATCH and self._epoll is not None:
            events = self._epoll.poll(0, _BATCH)
            if not events:
                break
            served += len(events)
            for fd, event in events:
                # One that is served earlier may have removed it.
                descriptor = readers.get(fd) if event != _OUT else None
                try:
                    why = None if descriptor is None else descriptor.doRead()
                    reading = True
                    if not why and event != _IN:
                        descriptor = writers.get(fd)
                        if descriptor is not None:
                            why = descriptor.doWrite()
                            reading = False
                except BaseException as error:
                    _log.failure("Unhandled error in {descriptor}", descriptor=descriptor)
                    why = error
                if why:
                    self._lose(descriptor, why, reading)

    def _lose(self, descriptor: Any, why: BaseException, reading: bool) -> None:  # noqa: ANN401
        try:
            self._disconnectSelectable(descriptor, why, reading)
        except BaseException:  # which would end the whole epoll set
            _log.failure("Unhandled error in {descriptor}", descriptor=descriptor)

    def connectionLost(self, reason: Failure) -> None:
        """End every connection: the real reactor has stopped."""
        if self._epoll is None:
            return
        for descriptor in {*self._readers.values(), *self._writers.values()}:
            callWithLogger(descriptor, descriptor.connectionLost, reason)
        self._epoll.close()
        self._epoll = None
