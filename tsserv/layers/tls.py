"""Which connections have TLS: the factory of :mod:`tsserv.layers.tlslayer`."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from tsserv.connections.address import Client
from tsserv.connections.registry import Connections
from tsserv.layers.credentials import Credentials
from tsserv.layers.preface import PrefaceFactory
from tsserv.layers.session import Session
from tsserv.layers.tlslayer import TLSLayer
from tsserv.protocol import TimestampFactory


class TLSFactory(PrefaceFactory):
    """
    Puts a :class:`TLSLayer` below each protocol of another factory.

    :param wrapped: makes the protocols.
    :param credentials: for the handshake.
    :param connections: watches connections during the handshake.
    :param clock: times the handshake.
    """

    time_limit = 10.0

    def __init__(
        self,
        wrapped: TimestampFactory,
        credentials: Credentials,
        connections: Connections,
        clock: IReactorTime,
    ) -> None:
        super().__init__(connections, clock)
        self._wrapped, self._credentials = wrapped, credentials
        self.late = connections.repeated(
            f"closing connections that have not finished their TLS handshake in {self.time_limit:g} s",
            "connections closed whose TLS handshake took too long: {count}",
            "TLS handshake late",
        )
        self.invalid = connections.repeated(
            "closing a connection from {host} that does not speak TLS: {reason}",
            "connections closed that did not speak TLS: {count}",
            "TLS failed",
        )

    def protocol_for(self, client: Client) -> TLSLayer | None:
        """Return the layer for a new connection from ``client``, or ``None`` to close it at once."""
        if not self.connections.admits(client, preface=True):
            return None
        inner = self._wrapped.protocol_for(client)
        assert inner is not None, "there is room"
        return TLSLayer(self, inner, Session(self._credentials.context), client)
