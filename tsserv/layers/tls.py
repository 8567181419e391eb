"""Which connections have TLS: the factory of :mod:`tsserv.layers.tlslayer`."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from tsserv.connections.address import Client, ClientFactory
from tsserv.connections.registry import Connections
from tsserv.layers.credentials import Credentials
from tsserv.layers.session import Session
from tsserv.layers.tlslayer import TIME_LIMIT, TLSLayer
from tsserv.protocol import TimestampFactory


class TLSFactory(ClientFactory):
    """
    Puts a :class:`TLSLayer` below each protocol of another factory.

    :param wrapped: makes the protocols.
    :param credentials: for the handshake.
    :param connections: watches connections during the handshake.
    :param clock: times the handshake.
    """

    def __init__(
        self,
        wrapped: TimestampFactory,
        credentials: Credentials,
        connections: Connections,
        clock: IReactorTime,
    ) -> None:
        self._wrapped = wrapped
        self._credentials = credentials
        self._connections = connections
        self._clock = clock
        self._late = connections.repeated(
            f"closing connections that have not finished their TLS handshake in {TIME_LIMIT:g} s",
            "connections closed whose TLS handshake took too long: {count}",
        )
        self._failed = connections.repeated(
            "closing a connection from {host} that does not speak TLS: {reason}",
            "connections closed that did not speak TLS: {count}",
        )

    def protocol_for(self, client: Client) -> TLSLayer | None:
        """Return the layer for a new connection from ``client``, or ``None`` to close it at once."""
        inner = self._wrapped.protocol_for(client)
        if inner is None:
            return None
        return TLSLayer(
            inner,
            Session(self._credentials.context),
            self._connections,
            client,
            clock=self._clock,
            late=self._late,
            failed=self._failed,
        )
