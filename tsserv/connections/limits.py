"""How many connections there may be: in one process, and of one host."""

from __future__ import annotations

import resource
from collections import Counter

from tsserv.connections.address import network_of

# File descriptors that are not for connections: standard streams, the reactor's, logs, one listener, and some
# to spare for what Python and Twisted open in passing.
_RESERVED_DESCRIPTORS = 32


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
