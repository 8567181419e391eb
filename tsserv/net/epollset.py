"""
Descriptors with their own epoll set, which is one reader of the reactor.

==========  ===========================================================================================
idle        nothing is watched: there is no epoll set, and the reactor does not know of it
watching    ``_readers`` and ``_writers`` hold what is watched, by file descriptor; the epoll set holds the
            same file descriptors, and is a reader of the reactor
==========  ===========================================================================================

The first descriptor that is added begins the watching; with the last that is removed it ends, even in the
middle of a batch. The rule: whatever a descriptor does (raise, close its socket, return another number), its
number leaves the set when it is lost, and the others are served on.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.posixbase import _DisconnectSelectableMixin
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.log import callWithLogger
from zope.interface import implementer

_log = Logger("tsserv")

# EPOLLIN and EPOLLOUT (Linux: epoll_ctl(2)); where there is no epoll, Python's select has no such names.
_IN, _OUT = 1, 4


@implementer(IReactorFDSet)
class EpollSet(_DisconnectSelectableMixin):
    """
    Watches descriptors as a reactor does. A subclass serves them: its ``doRead`` calls :meth:`_serve`.

    :param reactor: has the epoll set as a reader.
    """

    #: The reactor that its descriptors have: a :class:`tsserv.net.wrapper.WatchingReactor`.
    reactor: Any

    def __init__(self, reactor: Any) -> None:  # noqa: ANN401 (whatever else it provides)
        self._reactor = reactor
        self._epoll: select.epoll | None = None
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        # The file descriptor of a reader that neither keeps this from being idle nor ends with the others.
        self._guest = -1

    # What descriptors ask of their reactor: IReactorFDSet

    def addReader(self, reader: IReadDescriptor) -> None:
        """Call ``doRead`` of ``reader`` whenever it can read."""
        self._add(reader, self._readers, self._writers)

    def addWriter(self, writer: Any) -> None:  # noqa: ANN401
        """Call ``doWrite`` of ``writer`` whenever it can write."""
        self._add(writer, self._writers, self._readers)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Stop calling ``doRead`` of ``reader``."""
        self._remove(reader, self._readers, self._writers)

    def removeWriter(self, writer: Any) -> None:  # noqa: ANN401
        """Stop calling ``doWrite`` of ``writer``."""
        self._remove(writer, self._writers, self._readers)

    def removeAll(self) -> list[Any]:
        """Remove and return all descriptors, here and in the reactor."""
        return [*self._remove_ours(), *self._reactor.removeAll()]

    def getReaders(self) -> list[Any]:
        """Return the descriptors that are watched for reading, here and in the reactor."""
        return [*self._readers.values(), *self._reactor.getReaders()]

    def getWriters(self) -> list[Any]:
        """Return the descriptors that are watched for writing, here and in the reactor."""
        return [*self._writers.values(), *self._reactor.getWriters()]

    def _add(self, descriptor: Any, these: dict[int, Any], others: dict[int, Any]) -> None:  # noqa: ANN401
        fd = descriptor.fileno()
        if these.get(fd) is descriptor:
            return
        if fd in these or others.get(fd, descriptor) is not descriptor:
            self._forget(fd)  # of a socket that was closed and not removed: the system has reused the number
        epoll = self._epoll or select.epoll()
        if fd in others:
            epoll.modify(fd, _IN | _OUT)
        else:
            epoll.register(fd, _IN if these is self._readers else _OUT)
        these[fd] = descriptor
        if self._epoll is None:
            self._epoll = epoll
            self._begin()

    def _remove(self, descriptor: Any, these: dict[int, Any], others: dict[int, Any]) -> None:  # noqa: ANN401
        try:
            fd = descriptor.fileno()
        except Exception:  # a closed transport has none
            fd = -1
        if fd == -1:
            fd = next((number for number, known in these.items() if known is descriptor), -1)
        if these.get(fd) is not descriptor or self._epoll is None:
            return
        if fd not in others:
            self._forget(fd)
            return
        del these[fd]
        try:
            self._epoll.modify(fd, _IN if others is self._readers else _OUT)
        except OSError:  # its socket is closed
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        """Take a file descriptor out of the set, whatever has become of it; with the last, become idle."""
        self._readers.pop(fd, None)
        self._writers.pop(fd, None)
        assert self._epoll is not None
        try:  # noqa: SIM105 (which would cost half a microsecond)
            self._epoll.unregister(fd)
        except OSError:  # its socket is closed
            pass
        if len(self._readers) == (self._guest != -1) and not self._writers:
            self._end()
            self._epoll.close()
            self._epoll = None

    def _begin(self) -> None:
        """Have the reactor call :meth:`doRead`."""
        self._reactor.addReader(self)

    def _end(self) -> None:
        """Stop that."""
        self._reactor.removeReader(self)

    # What the reactor asks of its reader: IReadDescriptor

    def fileno(self) -> int:
        """Return the file descriptor of the epoll set, which is readable when any in it is ready."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """Return what stands before log lines of the reactor about this reader."""
        return "tsserv"

    def _serve(self, events: list[tuple[int, int]]) -> None:
        """
        Serve a batch of ready descriptors.

        An event may be stale: an earlier one of the batch may have removed its descriptor, or closed it and
        opened another with the same number. The first is not found; the other finds nothing to read, which
        does no harm, since no socket here blocks.
        """
        readers, writers = self._readers, self._writers
        for fd, event in events:
            descriptor = readers.get(fd) if event != _OUT else None
            reading = True
            try:
                why = None if descriptor is None else descriptor.doRead()
                if not why and event != _IN:
                    descriptor = writers.get(fd)
                    reading = False
                    why = None if descriptor is None else descriptor.doWrite()
            except BaseException as error:
                _log.failure("Unhandled error in {descriptor}", descriptor=descriptor)
                why = error
            if why:
                self._lose(fd, descriptor, why, reading)

    def _lose(self, fd: int, descriptor: Any, why: BaseException, reading: bool) -> None:  # noqa: ANN401
        try:
            self._disconnectSelectable(descriptor, why, reading)
        except BaseException:  # the reactor would take it for the end of the epoll set
            _log.failure("Unhandled error in {descriptor}", descriptor=descriptor)
        if (self._readers if reading else self._writers).get(fd) is descriptor:
            self._forget(fd)  # its fileno() is another by now

    def connectionLost(self, reason: Failure) -> None:
        """End every connection: the reactor has stopped."""
        for descriptor in self._remove_ours():
            callWithLogger(descriptor, descriptor.connectionLost, reason)

    def _remove_ours(self) -> set[Any]:
        numbers = {*self._readers, *self._writers} - {self._guest}
        ours = {found.get(fd) for found in (self._readers, self._writers) for fd in numbers} - {None}
        for fd in numbers:
            self._forget(fd)
        return ours
