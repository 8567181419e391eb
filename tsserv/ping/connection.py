"""A connection to the service, over TCP or TLS."""

from __future__ import annotations

import socket
import ssl
from selectors import EVENT_READ, EVENT_WRITE

from tsserv.ping.address import Endpoint, endpoint
from tsserv.ping.reason import reason
from tsserv.ping.tcpinfo import TcpInfo, tcp_info
from tsserv.ping.tls import TLS

_READ_SIZE = 64 * 1024


class ConnectionEnded(Exception):
    """The server closed the connection, or the connection failed; the text says how."""


class NotTsserv(Exception):
    """
    The server is not tsserv.

    :param does: what it does instead.
    """

    def __init__(self, does: str) -> None:
        super().__init__(f"this is not tsserv: it {does}")


class Connection:
    """
    One connection, which never blocks.

    :param sock: connected.
    :param remote: the address of the server.
    :param connect_time: how long TCP took to connect, in nanoseconds.
    :param tls: what is known of the TLS session; ``None`` without TLS.
    """

    def __init__(self, sock: socket.socket, remote: Endpoint, connect_time: int, tls: TLS | None) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._unsent = b""
        self.connect_time = connect_time
        self.tls = tls
        #: The addresses of this end and of the server.
        self.local = endpoint(sock.getsockname())
        self.remote = remote
        #: What the kernel knew when it was last asked; ``None`` if it does not tell.
        self.tcp_info: TcpInfo | None = None

    def fileno(self) -> int:
        """Return the file descriptor, for a selector that waits for :attr:`events`."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """
        Send, and keep for :meth:`flush` what the system does not take yet.

        :raises ConnectionEnded: if the connection has ended.
        """
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """
        Send as much of the unsent data as the system takes.

        :raises ConnectionEnded: if the connection has ended.
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

    @property
    def events(self) -> int:
        """What to wait for: that data arrives, and that unsent data can be sent."""
        return EVENT_READ | EVENT_WRITE if self._unsent else EVENT_READ

    def receive(self) -> bytes:
        """
        Return the bytes that have arrived; empty if there are none.

        :raises ConnectionEnded: if the connection has ended.
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

    def update_tcp_info(self) -> int:
        """Update :attr:`tcp_info`; return how many segments were retransmitted since the last time."""
        before, self.tcp_info = self.tcp_info, tcp_info(self._socket)
        if self.tcp_info is None:
            return 0
        return self.tcp_info.retransmits - (before.retransmits if before else 0)

    def close(self) -> None:
        """Close the connection without waiting."""
        self._socket.close()
