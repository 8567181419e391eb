"""How many connections there may be: in one process, and of one host."""

from __future__ import annotations

import resource
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from tsserv.connections.address import network_of
from tsserv.connections.repeated import RepeatedEvent
from tsserv.net.queues import waiting

# File descriptors that are not for connections: standard streams, the reactor's, logs, one listener, and some
# to spare for what Python and Twisted open in passing.
_RESERVED_DESCRIPTORS = 32

# How long a client that has begun its PROXY header or TLS handshake goes before later ones, in seconds:
# enough for two round trips of a handshake to the other side of the world.
_GRACE = 1.0


def most_connections(listeners: int = 1) -> int:
    """Return for how many connections the process has file descriptors: ``ulimit -n``, less a reserve."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2**31 - 1  # a descriptor is an int
    return max(1, soft - _RESERVED_DESCRIPTORS - (listeners - 1))


class HostLimit:
    """
    Counts the open connections of each host: an IPv4 address or an IPv6 /64.

    A host that is not known yet (an empty string) is never counted.

    :param most: how many connections one host may have.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: Counter[str | tuple[bytes, str]] = Counter()

    def reached(self, host: str) -> bool:
        """Return whether ``host`` has as many connections as it may have."""
        return bool(host) and self._open[network_of(host)] >= self.most

    def add(self, host: str) -> None:
        """Count a connection of ``host`` that is open now."""
        if host:
            self._open[network_of(host)] += 1

    def remove(self, host: str) -> None:
        """Stop counting a connection of ``host``."""
        if host:
            network = network_of(host)
            self._open[network] -= 1
            if not self._open[network]:
                del self._open[network]


class Prefaces:
    """
    The connections whose PROXY header or TLS handshake is not complete, oldest first.

    They may take every free slot. When none is left, the oldest of them is closed for a new connection. With
    a limit of their own, handshakes of many clients at once would be closed while slots are free.

    :param most: how many connections may be open at once.
    :param clock: tells their age.
    :param repeated: makes the event that is logged: :meth:`tsserv.connections.registry.Connections.repeated`.
    """

    def __init__(
        self, most: int, clock: IReactorTime, repeated: Callable[[str, str, str], RepeatedEvent]
    ) -> None:
        self._clock = clock
        # When each was opened, by its transport. A dict would find its oldest key in linear time.
        self._since: OrderedDict[Any, float] = OrderedDict()
        self._closed = repeated(
            f"closing the oldest connections whose PROXY header or TLS handshake is not complete, to let in"
            f" new ones: {most} are open (raise --max-connections, or keep out clients that send nothing)",
            "connections closed before their PROXY header or TLS handshake was complete, to let in new ones:"
            " {count}",
            "made room",
        )

    def add(self, transport: Any) -> None:  # noqa: ANN401
        """Add the connection that has just opened."""
        self._since[transport] = self._clock.seconds()

    def remove(self, transport: Any) -> None:  # noqa: ANN401
        """Remove a connection that has ended, or whose client is about to be served."""
        del self._since[transport]

    def close_oldest(self, *, for_preface: bool) -> bool:
        """
        Close the oldest connection, and count and log it; return whether that has been done.

        :param for_preface: whether a new preface would take its place: it does not if the oldest has sent
            something and is young. Else many clients at once would keep each other from being served.
        """
        oldest, since = next(iter(self._since.items()), (None, 0.0))
        if oldest is None:
            return False
        young = self._clock.seconds() - since < _GRACE
        if for_preface and young and (oldest.protocol.received or waiting(oldest)):
            return False
        self._closed.add()
        # abortConnection would keep the file descriptor until the next turn, and this one may accept many.
        oldest.connectionLost(Failure(ConnectionAborted()))
        return True
