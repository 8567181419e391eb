"""
Whose turn it is: connections whose reads take long do not hold up the others.

An epoll set is a queue: whatever is ready waits until all before it have been served.  That takes 5 µs for a
message, but 700 for 16 KiB of newlines, and 2,300 for a TLS handshake on P-384.  So there are two queues:

- a connection whose reads take long is set aside: it moves to a second epoll set, which is one descriptor of
  the first, and serves one connection each time that it is served itself;
- while there are such connections, new ones begin aside, and connections with TLS always do;
- after a short read a connection moves to the first, and so it does when its TLS handshake is complete.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from tsserv.net.epollset import EpollSet
from tsserv.net.wrapper import WatchingReactor

# How long descriptors are served before the reactor has its turn, with its timers and signals, in seconds.
_TURN = 0.002

# How many are served at once, and how long that should take at most, in seconds.
_BATCH = 32
_LONG_BATCH = 0.001

# How many are served one by one after a batch that took longer.  If one of them takes long, so are many more.
_PROBES = 8

# What is long for one, in seconds of CPU time: a hundred that take a little less hold up the others for 20
# milliseconds.  A message over TLS takes up to 0.15 when the processor's caches hold something else.
_LONG = 0.0002


def set_aside(transport: Any) -> None:  # noqa: ANN401 (any transport)
    """Serve a new connection as if its reads had taken long: the next ones will."""
    epoll_set = getattr(transport.reactor, "epoll_set", None)
    if isinstance(epoll_set, FairEpollSet):
        epoll_set.set_aside(transport.fileno())


def bring_back(transport: Any) -> None:  # noqa: ANN401 (any transport)
    """Serve a connection among those whose reads are short: what has taken long is over."""
    epoll_set = getattr(transport.reactor, "epoll_set", None)
    if isinstance(epoll_set, _Aside):
        epoll_set.bring_back(transport.fileno())


class _MeasuringEpollSet(EpollSet):
    """Can tell whether a connection takes long."""

    _now = staticmethod(time.monotonic)
    _cpu = staticmethod(time.thread_time)

    def _serve_one(self, delay: float | None) -> tuple[int, bool]:
        """
        Serve one descriptor that is ready.

        :param delay: how long to wait for it at most, in seconds, or ``None`` for no limit.
        :return: the file descriptor, or -1 if none is ready; whether it is a connection that took long.
        """
        assert self._epoll is not None
        events = self._epoll.poll(delay, 1)
        if not events:
            return -1, False
        [(fd, _)] = events
        begun = self._cpu()
        self._serve(events)
        return fd, self._cpu() - begun > _LONG and self._connection(fd) is not None

    def _connection(self, fd: int) -> tcp.Connection | None:
        """Return the connection with a file descriptor, if it is one."""
        found = self._readers.get(fd) or self._writers.get(fd)
        return found if isinstance(found, tcp.Connection) else None

    def _hand_over(self, fd: int, other: EpollSet) -> None:
        """Have another epoll set serve a connection."""
        connection = self._connection(fd)
        if connection is not None:
            connection.reactor = other.reactor
            if fd in self._readers:
                other._add(connection, other._readers, other._writers)
            if fd in self._writers:
                other._add(connection, other._writers, other._readers)
            self._forget(fd)


@implementer(IReadDescriptor)
class FairEpollSet(_MeasuringEpollSet):
    """Serves descriptors as a reactor does, those first whose reads are short."""

    def __init__(self, reactor: Any) -> None:  # noqa: ANN401
        super().__init__(reactor)
        self._aside = _Aside(self)
        # How many are to be served one by one.
        self._singly = 0
        # The connections that took long the last time.  It takes two times to be set aside: a message takes
        # long, too, when the processor's caches are cold or Python collects garbage.
        self._suspects: set[int] = set()

    def addReader(self, reader: IReadDescriptor) -> None:
        """Call ``doRead`` of ``reader`` whenever it can read; a new connection may begin aside."""
        super().addReader(reader)
        if self._singly > _PROBES and reader.fileno() not in self._writers:
            self.set_aside(reader.fileno())

    def set_aside(self, fd: int) -> None:
        """Have a connection wait for the others, until a read of it is short."""
        self._hand_over(fd, self._aside)

    def doRead(self) -> None:
        """Serve the descriptors that are ready, and those that become so meanwhile, until the turn ends."""
        end = self._now() + _TURN
        while self._epoll is not None and self._now() < end and self.serve_some(0):
            pass

    def serve_some(self, delay: float | None) -> int:
        """
        Serve descriptors that are ready.

        :param delay: how long to wait for one at most, in seconds, or ``None`` for no limit.
        :return: how many were ready.
        """
        if self._singly:
            fd, long = self._serve_one(delay)
            if fd == -1:
                return 0
            self._judge(fd, long)
            return 1
        assert self._epoll is not None
        events = self._epoll.poll(delay, _BATCH)
        begun = self._now()
        self._serve(events)
        if self._now() - begun > _LONG_BATCH:
            self._singly = _PROBES
        return len(events)

    def _judge(self, fd: int, long: bool) -> None:
        if long:
            self.be_wary()
            if fd in self._suspects:
                self.set_aside(fd)
            self._suspects ^= {fd}
        else:
            self._singly -= 1
            self._suspects.discard(fd)

    def be_wary(self) -> None:
        """Serve the next ones one by one, and have new connections begin aside: one has taken long."""
        self._singly = _BATCH


@implementer(IReadDescriptor)
class _Aside(_MeasuringEpollSet):
    """
    Serves the connections that have been set aside, as one descriptor of the others' epoll set.

    :param first: the others' epoll set.
    """

    def __init__(self, first: FairEpollSet) -> None:
        super().__init__(first)
        self._first = first
        self.reactor = WatchingReactor(first._reactor, self)

    def bring_back(self, fd: int) -> None:
        """Hand a connection back to the others' epoll set."""
        self._hand_over(fd, self._first)

    def doRead(self) -> None:
        """Serve one that is ready."""
        fd, long = self._serve_one(0)
        if long:
            self._first.be_wary()
        else:
            self.bring_back(fd)
