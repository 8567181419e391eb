"""Who may connect: how many at all, and how many from one host."""

from __future__ import annotations

import ipaddress
import resource
from collections import Counter
from typing import NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IReactorTime
from zope.interface import implementer

from tsserv.connections.repeated import Tally

# Descriptors that are not for connections: standard streams, the reactor's, logs, listeners, and
# some to spare for what Python and Twisted open in passing.
_RESERVED_DESCRIPTORS = 32


def most_connections() -> int:
    """Return for how many connections the process has descriptors (``ulimit -n``, less a reserve of 32)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2**31 - 1  # a descriptor is an int
    return max(1, soft - _RESERVED_DESCRIPTORS)


def plain_host(host: str) -> str:
    """Return ``host`` itself, but an IPv4 client of an IPv6 listener (``::ffff:192.0.2.1``) as IPv4."""
    # Only IPv4-mapped addresses are written with dots (RFC 5952, section 5).
    return host.removeprefix("::ffff:") if "." in host else host


@implementer(IAddress)
class ProxyItself(NamedTuple):
    """The address of a proxy that speaks for no client, as in its health checks."""

    address: IAddress | None


def host_and_port(address: IAddress | None) -> tuple[str, int | None]:
    """Return the host of a client as it is counted and logged, and its port; one without is ``unix``."""
    if isinstance(address, ProxyItself):
        address = address.address
    if isinstance(address, (IPv4Address, IPv6Address)):
        return plain_host(address.host), address.port
    return "unix", None


def _network(host: str) -> str | tuple[bytes, str]:
    """Return what counts as one host: an IPv4 address, or the /64 that an IPv6 host may have to itself."""
    if ":" not in host:
        return host
    address, _, zone = host.partition("%")
    return ipaddress.IPv6Address(address).packed[:8], zone


class Admission:
    """
    Counts connections, and says whether one more may come.

    :param clock: for the log; refusals are counted, not logged one by one.
    :param most: how many connections there may be at once.
    :param most_per_host: how many of them from one IPv4 address or IPv6 /64; 0 is any number.
    """

    def __init__(self, clock: IReactorTime, most: int, most_per_host: int = 0) -> None:
        self._most = most
        self._most_per_host = most_per_host
        self._open = 0
        self._open_of_host: Counter[str | tuple[bytes, str]] = Counter()
        self._too_many = Tally(
            clock,
            "refusing connections: {most} are open (--max-connections)",
            "connections refused above --max-connections: {count}",
        )
        self._too_many_of_host = Tally(
            clock,
            "refusing connections from {host}: {most} are open (--max-connections-per-host)",
            "connections refused above --max-connections-per-host: {count}",
        )

    def admits(self, host: str | None) -> bool:
        """
        Return whether a connection from ``host`` may come now; count and log it if not.

        ``None`` is a host that is not known yet; so it is below.
        """
        if self._open >= self._most:
            self._too_many.add(most=self._most)
            return False
        if self._most_per_host and host and self._open_of_host[_network(host)] >= self._most_per_host:
            self._too_many_of_host.add(host=host, most=self._most_per_host)
            return False
        return True

    def entered(self, host: str | None) -> None:
        """Count a connection from ``host`` that is open now."""
        self._open += 1
        if self._most_per_host and host:
            self._open_of_host[_network(host)] += 1

    def left(self, host: str | None) -> None:
        """Count it no more."""
        self._open -= 1
        if self._most_per_host and host:
            network = _network(host)
            self._open_of_host[network] -= 1
            if not self._open_of_host[network]:
                del self._open_of_host[network]

    def close(self) -> None:
        """Log what has been counted and not been logged."""
        self._too_many.close()
        self._too_many_of_host.close()
