"""Connections through a proxy that says in a PROXY header for whom they are."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from tsserv.connections.admission import ProxyItself, host_and_port, plain_host
from tsserv.connections.registry import Connections
from tsserv.connections.repeated import Tally
from tsserv.layers.preface import Preface
from tsserv.layers.proxyheader import NotAHeader, parse_header

#: Proxies on this machine.
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1")]

# How long a header may take, in seconds: the specification asks for at least 3, to cover a retransmission.
_PATIENCE = 5.0

# How many bytes to read at once before the header is whole.  What the client has sent behind it comes
# out of the same read, and is one chunk.
_READ_SIZE = 4096


class ProxyPreface(Preface):
    """
    The protocol of a connection until its PROXY header is whole.

    Then it hands the connection over, to the protocol that another factory makes for the client, and has
    no part in it any more.

    :param wrapped: that factory.
    :param address: the proxy's.
    :param junk: counts what is no PROXY header.
    """

    def __init__(
        self,
        wrapped: Factory,
        address: IAddress | None,
        connections: Connections,
        *,
        clock: IReactorTime,
        late: Tally,
        junk: Tally,
    ) -> None:
        super().__init__(connections, None, clock=clock, patience=_PATIENCE, late=late)
        self._wrapped = wrapped
        self._address = address
        self._junk = junk
        self._received = bytearray()

    def connectionMade(self) -> None:
        """Wait for the header."""
        super().connectionMade()
        self.transport.bufferSize = _READ_SIZE

    def dataReceived(self, data: bytes) -> None:
        """Read on in the header, and hand the connection over when it is whole."""
        self._received += data
        try:
            header = parse_header(self._received)
        except NotAHeader as error:
            self._junk.add(host=host_and_port(self._address)[0], reason=error)
            self.abort("no PROXY header")
            return
        if header is not None:
            client: IAddress | None = header.client
            if client is None or self._is_its_own(client):
                client = ProxyItself(self._address)
            self._hand_over(client, bytes(self._received[header.size :]))

    def _is_its_own(self, client: IAddress) -> bool:
        """Return whether it is the proxy's end of this connection: version 1 asks that of health checks."""
        return not isinstance(client, UNIXAddress) and host_and_port(client) == host_and_port(self._address)

    def _hand_over(self, client: IAddress, data: bytes) -> None:
        """Let another protocol serve ``client``, which has already sent ``data``."""
        # First, to make room: it is one connection.
        self.end_preface()
        protocol = self._wrapped.buildProtocol(client)
        if protocol is None:
            self.transport.loseConnection()
            return
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        if data:
            protocol.dataReceived(data)


class ProxyFactory(Factory):
    """
    Has a proxy say for which client a connection is, before another factory makes the protocol for it.

    :param wrapped: that factory; it gets the client's address, or that of the proxy as a
        :class:`ProxyItself` if the header names no client.
    :param trusted: the networks of proxies whose word is taken.  A UNIX socket is open to whom its mode
        lets in, and they are trusted.
    :param connections: watches connections until their header has come.
    :param clock: times that.
    """

    noisy = False

    def __init__(
        self,
        wrapped: Factory,
        trusted: Collection[IPv4Network | IPv6Network],
        connections: Connections,
        clock: IReactorTime,
    ) -> None:
        self._wrapped = wrapped
        self._trusted = trusted
        self._connections = connections
        self._clock = clock
        self._untrusted = connections.tally(
            "closing connections from {host}: it is no trusted proxy (--proxy-trust)",
            "connections closed that came from no trusted proxy: {count}",
        )
        self._late = connections.tally(
            f"closing connections whose PROXY header has not come within {_PATIENCE:g} s",
            "connections closed whose PROXY header took too long: {count}",
        )
        self._junk = connections.tally(
            "closing a connection from {host} without a valid PROXY header: {reason}",
            "connections closed without a valid PROXY header: {count}",
        )

    def buildProtocol(self, addr: IAddress | None) -> ProxyPreface | None:
        """Return the protocol of a new connection from ``addr``, or ``None`` to close it at once."""
        if not self._trusts(addr):
            self._untrusted.add(host=host_and_port(addr)[0])
            return None
        if not self._connections.admits(None):
            return None
        return ProxyPreface(
            self._wrapped, addr, self._connections, clock=self._clock, late=self._late, junk=self._junk
        )

    def _trusts(self, address: IAddress | None) -> bool:
        if isinstance(address, (IPv4Address, IPv6Address)):
            host = ip_address(plain_host(address.host))
            return any(host in network for network in self._trusted)
        return isinstance(address, UNIXAddress)
