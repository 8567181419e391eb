"""Who a connection comes from: clients as they are counted and logged."""

from __future__ import annotations

import ipaddress
from abc import abstractmethod
from typing import NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol


class Client(NamedTuple):
    """The client of one connection."""

    #: An IP address, ``unix`` for any client of a UNIX socket, or empty while it is not known.
    host: str
    #: ``None`` if it has none.
    port: int | None
    #: Whether it is a proxy that connects for itself, for example to check the service's health.
    is_proxy: bool = False


#: Any client of a UNIX socket.
UNIX = Client("unix", None)

#: The client of a connection whose PROXY header has not arrived yet.
UNKNOWN = Client("", None)


def client_at(address: IAddress | None) -> Client:
    """Return the client at an address of Twisted's; :data:`UNKNOWN` if it is neither of IP nor of UNIX."""
    if isinstance(address, (IPv4Address, IPv6Address)):
        return Client(_plain(address.host), address.port)
    return UNIX if isinstance(address, UNIXAddress) else UNKNOWN


def _plain(host: str) -> str:
    """Return ``host``, as IPv4 if it is an IPv4 client of an IPv6 listener (``::ffff:192.0.2.1``)."""
    # Only IPv4-mapped addresses are written with dots (RFC 5952, section 5).
    return host.removeprefix("::ffff:") if "." in host else host


def network_of(host: str) -> str | tuple[bytes, str]:
    """Return what counts as one host: an IPv4 address, or the /64 that one IPv6 host may have to itself."""
    if ":" not in host:
        return host
    address, _, zone = host.partition("%")
    return ipaddress.IPv6Address(address).packed[:8], zone


class ClientFactory(Factory):
    """Base class of factories that make protocols for clients, wherever their address is known from."""

    noisy = False  # the listeners log where they listen

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Return the protocol of a new connection from ``addr``, or ``None`` to close it at once."""
        return self.protocol_for(client_at(addr))

    @abstractmethod
    def protocol_for(self, client: Client) -> Protocol | None:
        """Return the protocol of a new connection from ``client``, or ``None`` to close it at once."""
