"""Connections to the service: TCP, with TLS if asked for, and the errors of both in words."""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import Any

from tsserv.ping.tls import TLS, expires

_READ_SIZE = 64 * 1024


class CannotConnect(Exception):
    """There is no connection; the text says why."""


class ConnectionEnded(Exception):
    """The connection was ended by the other side, or broke; the text says how."""


def host_port(address: tuple[Any, ...]) -> str:
    """Return host and port as one writes them, an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection:
    """
    One connection, which never blocks but in :meth:`wait`.

    :param sock: connected.
    :param remote: the address of the other side, as one writes it.
    :param connect_time: how long TCP took to connect, in nanoseconds.
    :param tls: what is known of its TLS, if it has any.
    """

    def __init__(self, sock: socket.socket, remote: str, connect_time: int, tls: TLS | None) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._unsent = b""
        self.connect_time = connect_time
        self.tls = tls
        #: The addresses of this side and of the other.
        self.local = host_port(sock.getsockname())
        self.remote = remote

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """
        Send, or keep what the system does not take yet for :meth:`flush`.

        :raises ConnectionEnded: if there is nobody any more to send to.
        """
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """
        Send what is left.

        :raises ConnectionEnded: if there is nobody any more to send to.
        """
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            raise ConnectionEnded(reason(error)) from error

    @property
    def unsent(self) -> bool:
        """Whether :meth:`flush` has something to send."""
        return bool(self._unsent)

    def receive(self) -> bytes:
        """
        Return what has come: nothing, perhaps.

        :raises ConnectionEnded: if nothing will come any more.
        """
        try:
            data = self._socket.recv(_READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            raise ConnectionEnded(reason(error)) from error
        if not data:
            raise ConnectionEnded("the server closed the connection")
        return data

    def wait(self, timeout: float) -> None:
        """Wait until something has come, more can be sent, or ``timeout`` seconds are over."""
        if self._unsent:  # which is rare
            select.select([self._socket], [self._socket], [], timeout)
        else:
            self._poll.poll(timeout * 1000)

    def close(self) -> None:
        """Close it, without waiting for anything."""
        self._socket.close()


class Dialer:
    """
    Makes connections to one service.

    :param host: a name or an IP address.
    :param port: of TCP.
    :param family: ``socket.AF_UNSPEC``, or the only one that may be used.
    :param timeout: for each address of the host, and for TLS, in seconds.
    :param context: of TLS; ``None`` for TCP alone.
    :param server_name: the name that is asked for and checked with TLS; the host if ``None``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        family: socket.AddressFamily,
        timeout: float,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._family = family
        self._timeout = timeout
        self._context = context
        self._server_name = server_name or host

    def dial(self) -> Connection:
        """
        Return a new connection, to the first address of the host that can be reached.

        :raises CannotConnect: if none can, or if TLS fails.
        """
        try:
            found = socket.getaddrinfo(self._host, self._port, self._family, socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            raise CannotConnect(f"cannot find the host {self._host!r}: {reason(error)}") from error
        reasons = []
        for family, _, _, _, address in found:
            try:
                return self._dial(family, address)
            except OSError as error:
                reasons.append(f"{host_port(address)}: {reason(error)}")
        raise CannotConnect(f"cannot connect to {'; '.join(reasons)}")

    def _dial(self, family: socket.AddressFamily, address: tuple[Any, ...]) -> Connection:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(self._timeout)
            begin = time.monotonic_ns()
            sock.connect(address)
            connect_time = time.monotonic_ns() - begin
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is None:
                return Connection(sock, host_port(address), connect_time, None)
            begin = time.monotonic_ns()
            sock = secure = self._context.wrap_socket(
                sock, server_hostname=self._server_name, do_handshake_on_connect=False
            )
            secure.do_handshake()
            handshake = time.monotonic_ns() - begin
            tls = TLS(str(secure.version()), handshake, expires(secure))
            return Connection(sock, host_port(address), connect_time, tls)
        except BaseException:
            sock.close()
            raise


def reason(error: Exception) -> str:
    """Return what went wrong, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
