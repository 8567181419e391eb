"""Connections through a proxy, which sends the client's address first, in a PROXY header."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_address

from twisted.internet.interfaces import IReactorTime

from tsserv.connections.address import UNIX, UNKNOWN, Client, ClientFactory
from tsserv.connections.registry import Connections
from tsserv.layers.preface import Preface, PrefaceFactory
from tsserv.layers.proxyheader import NotAHeader, parse_header

# How many bytes to read at once before the header is complete.  What the client has sent behind it arrives
# in the same read, and is one chunk.
_READ_SIZE = 4096


class ProxyPreface(Preface):
    """
    The protocol of a connection until its PROXY header is complete.

    It then hands the connection over to the protocol that another factory makes for the client, and has no
    further part in it.

    :param wrapped: the other factory.
    :param proxy: the address of the proxy.
    """

    def __init__(self, factory: PrefaceFactory, wrapped: ClientFactory, proxy: Client) -> None:
        super().__init__(factory, UNKNOWN)
        self._wrapped, self._proxy = wrapped, proxy
        self._header = bytearray()

    def connectionMade(self) -> None:
        """Wait for the header."""
        super().connectionMade()
        self.transport.bufferSize = _READ_SIZE

    def dataReceived(self, data: bytes) -> None:
        """Add to the header, and hand the connection over when it is complete."""
        self.received += len(data)
        self._header += data
        try:
            header = parse_header(self._header)
        except NotAHeader as error:
            self._factory.invalid.add(host=self._proxy.host, reason=error)
            self.abort("no PROXY header")
            return
        if header is not None:
            self._hand_over(self._client(header.client), bytes(self._header[header.size :]))

    def _client(self, client: Client | None) -> Client:
        """Return the client that a header is for: the proxy itself if it names none, or its own address."""
        # HAProxy's health checks name their own end of the connection in version 1.
        if client is None or (client == self._proxy and client.port is not None):
            return self._proxy._replace(is_proxy=True)
        return client

    def _hand_over(self, client: Client, data: bytes) -> None:
        """Let another protocol serve ``client``, which has already sent ``data``."""
        # First, since the two are one connection, and there may be no room for a second.
        self.end_preface()
        protocol = self._wrapped.protocol_for(client)
        if protocol is None:
            self.transport.loseConnection()
            return
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        if data:
            protocol.dataReceived(data)


class ProxyFactory(PrefaceFactory):
    """
    Reads a PROXY header from each connection before another factory makes the protocol for its client.

    :param wrapped: the other factory.
    :param trusted: the networks of proxies whose headers are believed.  Every client of a UNIX socket is
        trusted: the mode of the socket says who may connect.
    :param connections: watches connections until their header is complete.
    :param clock: times that.
    """

    time_limit = 5.0  # the specification asks for at least 3, to cover a retransmission

    def __init__(
        self,
        wrapped: ClientFactory,
        trusted: Collection[IPv4Network | IPv6Network],
        connections: Connections,
        clock: IReactorTime,
    ) -> None:
        super().__init__(connections, clock)
        self._wrapped, self._trusted = wrapped, trusted
        self._untrusted = connections.repeated(
            "closing connections from {host}: it is not a trusted proxy (--proxy-trust)",
            "connections closed that did not come from a trusted proxy: {count}",
            "proxy not trusted",
        )
        self.late = connections.repeated(
            f"closing connections whose PROXY header is not complete within {self.time_limit:g} s",
            "connections closed whose PROXY header took too long: {count}",
            "PROXY header late",
        )
        self.invalid = connections.repeated(
            "closing a connection from {host} without a valid PROXY header: {reason}",
            "connections closed without a valid PROXY header: {count}",
            "PROXY header invalid",
        )

    def protocol_for(self, client: Client) -> ProxyPreface | None:
        """Return the protocol of a new connection from a proxy, or ``None`` to close it at once."""
        if not self._trusts(client):
            self._untrusted.add(host=client.host)
            return None
        if not self.connections.admits(UNKNOWN, preface=True):
            return None
        return ProxyPreface(self, self._wrapped, client)

    def _trusts(self, proxy: Client) -> bool:
        if proxy.port is None:
            return proxy == UNIX
        host = ip_address(proxy.host)
        return any(host in network for network in self._trusted)
