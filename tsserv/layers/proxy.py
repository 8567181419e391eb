"""Connections through a proxy, which sends the client's address first, in a PROXY header."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from twisted.internet.interfaces import IReactorTime

from tsserv.connections.address import UNIX, UNKNOWN, Client, ClientFactory
from tsserv.connections.registry import Connections
from tsserv.connections.repeated import RepeatedEvent
from tsserv.layers.preface import Preface
from tsserv.layers.proxyheader import NotAHeader, parse_header

#: Proxies on this machine.
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1")]

# How long a header may take, in seconds: the specification asks for at least 3, to cover a retransmission.
_TIME_LIMIT = 5.0

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
    :param invalid: counts connections that begin without a valid header.
    """

    def __init__(
        self,
        wrapped: ClientFactory,
        proxy: Client,
        connections: Connections,
        *,
        clock: IReactorTime,
        late: RepeatedEvent,
        invalid: RepeatedEvent,
    ) -> None:
        super().__init__(connections, UNKNOWN, clock=clock, time_limit=_TIME_LIMIT, late=late)
        self._wrapped = wrapped
        self._proxy = proxy
        self._invalid = invalid
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
            self._invalid.add(host=self._proxy.host, reason=error)
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


class ProxyFactory(ClientFactory):
    """
    Reads a PROXY header from each connection before another factory makes the protocol for its client.

    :param wrapped: the other factory.
    :param trusted: the networks of proxies whose headers are believed.  Every client of a UNIX socket is
        trusted: the mode of the socket says who may connect.
    :param connections: watches connections until their header is complete.
    :param clock: times that.
    """

    def __init__(
        self,
        wrapped: ClientFactory,
        trusted: Collection[IPv4Network | IPv6Network],
        connections: Connections,
        clock: IReactorTime,
    ) -> None:
        self._wrapped = wrapped
        self._trusted = trusted
        self._connections = connections
        self._clock = clock
        self._untrusted = connections.repeated(
            "closing connections from {host}: it is not a trusted proxy (--proxy-trust)",
            "connections closed that did not come from a trusted proxy: {count}",
        )
        self._late = connections.repeated(
            f"closing connections whose PROXY header is not complete within {_TIME_LIMIT:g} s",
            "connections closed whose PROXY header took too long: {count}",
        )
        self._invalid = connections.repeated(
            "closing a connection from {host} without a valid PROXY header: {reason}",
            "connections closed without a valid PROXY header: {count}",
        )

    def protocol_for(self, client: Client) -> ProxyPreface | None:
        """Return the protocol of a new connection from a proxy, or ``None`` to close it at once."""
        if not self._trusts(client):
            self._untrusted.add(host=client.host)
            return None
        if not self._connections.admits(UNKNOWN):
            return None
        return ProxyPreface(
            self._wrapped,
            client,
            self._connections,
            clock=self._clock,
            late=self._late,
            invalid=self._invalid,
        )

    def _trusts(self, proxy: Client) -> bool:
        if proxy.port is None:
            return proxy == UNIX
        host = ip_address(proxy.host)
        return any(host in network for network in self._trusted)
