"""Connecting to the service."""

from __future__ import annotations

import socket
import ssl
import time

from tsserv.ping.address import HostPort
from tsserv.ping.connection import Connection
from tsserv.ping.reason import reason
from tsserv.ping.resolver import Address, Resolver
from tsserv.ping.tls import TLS, expires


class CannotConnect(Exception):
    """No connection could be made; the text says why."""


class Dialer:
    """
    Makes connections to one service.

    :param target: the host and port of the service.
    :param family: ``socket.AF_UNSPEC``, or the only address family to use.
    :param timeout: for the name lookup, for each address of the host, and for the TLS handshake, in seconds.
    :param context: for TLS; ``None`` for plain TCP.
    :param server_name: the name to request (SNI) and to verify with TLS; the host if ``None``.
    """

    def __init__(
        self,
        target: HostPort,
        *,
        family: socket.AddressFamily,
        timeout: float,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        self._host = target.host
        self._resolver = Resolver(target.host, target.port, family)
        self._timeout = timeout
        self._context = context
        self._server_name = server_name or target.host

    def dial(self) -> Connection:
        """
        Return a new connection, to the first address of the host that accepts one.

        :raises CannotConnect: if no address does, or if TLS fails.
        """
        try:
            found = self._resolver.look_up(self._timeout)
        except (OSError, ValueError) as error:
            raise CannotConnect(f"cannot find the host {self._host!r}: {reason(error)}") from error
        reasons = []
        for address in found:
            try:
                return self._dial(address)
            except (OSError, ValueError) as error:  # ValueError: the host cannot be a name in TLS
                reasons.append(f"{HostPort(*address.address[:2])}: {reason(error)}")
        raise CannotConnect(f"cannot connect to {'; '.join(reasons)}")

    def _dial(self, address: Address) -> Connection:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(self._timeout)
            begin = time.monotonic_ns()
            sock.connect(address.address)
            connect_time = time.monotonic_ns() - begin
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = None
            if self._context is not None:
                begin = time.monotonic_ns()
                sock = secure = self._context.wrap_socket(
                    sock, server_hostname=self._server_name, do_handshake_on_connect=False
                )
                secure.do_handshake()
                handshake = time.monotonic_ns() - begin
                tls = TLS(str(secure.version()), handshake, expires(secure))
            return Connection(sock, HostPort(*address.address[:2]), connect_time, tls)
        except BaseException:
            sock.close()
            raise
