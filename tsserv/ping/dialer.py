"""Connecting to the service."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from selectors import EVENT_READ, EVENT_WRITE

from tsserv.ping.address import Endpoint, HostPort, endpoint
from tsserv.ping.connection import Connection
from tsserv.ping.loop import Task, Wait
from tsserv.ping.proxyheader import proxy_header
from tsserv.ping.reason import reason
from tsserv.ping.resolver import Address, Resolver
from tsserv.ping.route import ANY_ROUTE, Route
from tsserv.ping.tls import TLS, expires


class CannotConnect(Exception):
    """No connection could be made; the text says why."""


class Dialer:
    """
    Makes connections to one service.

    :param target: where the service listens.
    :param family: ``socket.AF_UNSPEC``, or the only address family to use.
    :param timeout: for the name lookup, for each address of the host, and for the TLS handshake, in seconds.
    :param context: for TLS; ``None`` for plain TCP.
    :param server_name: the name to request (SNI) and to verify with TLS; the host if ``None``.
    :param route: how connections leave this machine.
    :param proxy_header: the version of the PROXY header to send first; ``None`` to send none.
    """

    def __init__(
        self,
        target: Endpoint,
        *,
        family: socket.AddressFamily,
        timeout: float,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
        route: Route = ANY_ROUTE,
        proxy_header: str | None = None,
    ) -> None:
        self._target = target
        self._resolver: Resolver | None = None
        if isinstance(target, HostPort):
            self._resolver = Resolver(target.host, target.port, family)
        self._timeout = timeout
        self._context = context
        self._server_name = server_name or (target.host if isinstance(target, HostPort) else None)
        self._route = route
        self._proxy_header = proxy_header

    def dial(self) -> Task[Connection]:
        """
        Return a new connection, to the first address of the host that accepts one.

        :raises CannotConnect: if no address does, or if TLS fails.
        """
        try:
            found = yield from self._look_up()
        except (OSError, ValueError) as error:
            raise CannotConnect(f"cannot find the host {self._target[0]!r}: {reason(error)}") from error
        reasons = []
        for address in found:
            try:
                return (yield from self._dial(address))
            except (OSError, ValueError) as error:  # ValueError: the host cannot be a name in TLS
                reasons.append(f"{endpoint(address.address)}: {reason(error)}")
        raise CannotConnect(f"cannot connect to {'; '.join(reasons)}")

    def _look_up(self) -> Task[list[Address]]:
        if self._resolver is None:
            return [Address(socket.AF_UNIX, str(self._target[0]))]
        return (yield from self._resolver.look_up(self._timeout))

    def _dial(self, address: Address) -> Task[Connection]:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            self._route.apply(sock)
            begin = time.monotonic_ns()
            yield from self._connect(sock, address)
            connect_time = time.monotonic_ns() - begin
            if address.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._proxy_header is not None:
                sock.sendall(proxy_header(self._proxy_header, sock))  # a new connection has room for it
            tls = None
            if self._context is not None:
                begin = time.monotonic_ns()
                sock = secure = self._context.wrap_socket(
                    sock, server_hostname=self._server_name, do_handshake_on_connect=False
                )
                yield from self._shake_hands(secure)
                handshake = time.monotonic_ns() - begin
                tls = TLS(str(secure.version()), handshake, expires(secure))
            return Connection(sock, endpoint(address.address), connect_time, tls)
        except BaseException:
            sock.close()
            raise

    def _connect(self, sock: socket.socket, address: Address) -> Task[None]:
        deadline = self._deadline()
        error = sock.connect_ex(address.address)
        if error == errno.EINPROGRESS:
            if not (yield Wait(deadline, sock, EVENT_WRITE)):
                raise TimeoutError
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def _shake_hands(self, secure: ssl.SSLSocket) -> Task[None]:
        deadline = self._deadline()
        while True:
            try:
                secure.do_handshake()
                return
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
                events = EVENT_READ if isinstance(want, ssl.SSLWantReadError) else EVENT_WRITE
            if not (yield Wait(deadline, secure, events)):
                raise TimeoutError

    def _deadline(self) -> int:
        return time.monotonic_ns() + round(self._timeout * 1e9)
