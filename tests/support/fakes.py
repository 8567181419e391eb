"""A connection without a network: Twisted's transport on a socket in memory, and a client at its end."""

from __future__ import annotations

import errno
import os
import socket
from typing import cast

from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.tcp import Port
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from tsserv.connections.address import ClientFactory
from tsserv.connections.registry import Connections, TrackedProtocol
from tsserv.net.server import EagerServer
from tsserv.ops.signals import Signals
from tsserv.ops.systemd import Notifier
from tsserv.stamp import Stamp
from tsserv.tap import Options, makeService

#: What :func:`stamp` returns, always.
NOW = b"[Thu Jan  1 00:00:00 1970] "


def stamp() -> Stamp:
    """Return a stamp whose clock stands still at :data:`NOW`."""
    return Stamp(utc=True, clock=lambda: 0.0)


def answers_to(chunks: list[bytes], framing: str = "chunk") -> bytes:
    """Say in another way than the service what it owes for ``chunks``, with a stamp of :data:`NOW`."""
    if framing == "line":
        stream = b"".join(chunks)
        ended = [line + b"\n" for line in stream.split(b"\n")[:-1]]
        chunks = [*ended, stream[len(b"".join(ended)) :]]
    return b"".join(NOW + chunk for chunk in chunks if chunk)


class FakeSocket:
    """The server's end of a connection: gives what the client has sent, takes what there is room for."""

    family = socket.AF_INET

    def __init__(self) -> None:
        #: What the client has sent and the server has not read, piece by piece.
        self.inbox: list[bytes] = []
        #: The pieces that the server has read.
        self.read: list[bytes] = []
        #: What the server has sent.
        self.taken = bytearray()
        #: How many more bytes may be sent before the socket is full.
        self.room = 1 << 40
        #: Whether the client has shut its sending side, or reset the connection.
        self.ended = self.broken = False
        #: Whether the server has shut its own.
        self.half_closed = False
        #: How the server has closed it: ``orderly``, ``reset`` or not yet.
        self.closed: str | None = None
        self.options: dict[tuple[int, int], object] = {}
        self._null = os.open(os.devnull, os.O_RDWR)  # a descriptor that has no queues

    def recv(self, size: int) -> bytes:
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if not self.inbox:
            if self.ended:
                return b""
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing to read")
        piece, rest = self.inbox[0][:size], self.inbox[0][size:]
        self.inbox[:1] = [rest] if rest else []
        self.read.append(piece)
        return piece

    def send(self, data: bytes) -> int:
        if self.broken or self.half_closed:
            raise BrokenPipeError(errno.EPIPE, "reset, or shut")
        if data and not self.room:
            raise BlockingIOError(errno.EWOULDBLOCK, "full")
        count = min(len(data), self.room)
        self.room -= count
        self.taken += data[:count]
        return count

    def setsockopt(self, level: int, option: int, value: object) -> None:
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int, size: int = 0) -> object:
        return self.options.get((level, option), bytes(size) if size else 0)

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def fileno(self) -> int:
        return self._null

    def shutdown(self, how: int) -> None:
        assert how in (socket.SHUT_WR, socket.SHUT_RDWR)
        self.half_closed = True

    def close(self) -> None:
        self.closed = "reset" if (socket.SOL_SOCKET, socket.SO_LINGER) in self.options else "orderly"
        os.close(self._null)


class Service:
    """
    The service, as ``makeService`` builds it, on a reactor in memory whose clock the test sets.

    Its stamp is always :data:`NOW`.  Nothing listens: clients connect by :meth:`connect`.

    :param listen: the place whose layers the clients meet.
    :param options: of ``twistd tsserv``, by their names with underscores.
    """

    def __init__(self, listen: str = "tcp:0", *, log_connections: str = "none", **options: object) -> None:
        config = Options()
        arguments = {"listen": listen, "log_connections": log_connections, "stall_timeout": 0, **options}
        config.parseOptions([f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()])
        config["stamp"] = stamp()
        self.reactor = MemoryReactorClock()
        self.tree = makeService(config, self.reactor)
        for part in list(self.tree):
            if isinstance(part, MultiService):
                [listener] = part
                self.factory: ClientFactory = listener._factory
            if isinstance(part, (MultiService, Signals, Notifier)):
                part.disownServiceParent()
            if isinstance(part, Connections):
                self.connections = part
        self.port = Port(0, self.factory, reactor=self.reactor)
        self.clients: list[Client] = []
        self.tree.startService()

    def stop(self) -> Deferred[None]:
        """Stop the service as twistd does; return what fires when it has stopped."""
        return cast("Deferred[None]", self.tree.stopService())

    def connect(self, host: str = "192.0.2.1") -> Client | None:
        """Return a new client, or ``None`` if it is refused."""
        protocol = self.factory.buildProtocol(IPv4Address("TCP", host, 4711))
        if protocol is None:
            return None
        assert isinstance(protocol, TrackedProtocol)
        client = Client(self, protocol, host)
        self.clients.append(client)
        return client

    def run(self, seconds: float = 0.0, step: float = 0.125) -> None:
        """Do what a reactor does until nothing is left to do, then let time pass in steps."""
        self._turn()
        while seconds > 0:
            self.reactor.advance(min(step, seconds))
            seconds -= step
            self._turn()

    def _turn(self) -> None:
        self.reactor.advance(0)
        while sum(client.turn() for client in self.clients):
            self.reactor.advance(0)


class Client:
    """One connection to a :class:`Service`, seen from the client."""

    def __init__(self, service: Service, protocol: TrackedProtocol, host: str) -> None:
        self.socket = FakeSocket()
        self.protocol = protocol
        self._reactor = service.reactor
        self.transport = EagerServer(
            cast(socket.socket, self.socket),
            protocol,
            (host, 4711),
            service.port,
            len(service.clients),
            service.reactor,
        )
        protocol.makeConnection(self.transport)

    @property
    def unsent(self) -> int:
        """How many bytes the server holds for the client."""
        transport = self.transport
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen

    @property
    def reading(self) -> bool:
        """Whether the server reads."""
        return self.transport in self._reactor.readers

    def turn(self) -> bool:
        """Do what a reactor does when the socket is ready; return whether it was."""
        transport, sock = self.transport, self.socket
        if self.reading and (sock.inbox or sock.ended or sock.broken):
            why = transport.doRead()
            if why is not None:
                self._lose(why)
            return True
        if transport in self._reactor.writers and (sock.room or sock.broken or not self.unsent):
            why = transport.doWrite()
            if why is not None:
                self._lose(why)
            return True
        return False

    def _lose(self, why: Exception) -> None:
        self._reactor.removeReader(self.transport)
        self._reactor.removeWriter(self.transport)
        self.transport.connectionLost(Failure(why))


def connect(service: Service) -> Client:
    """Return a client that is let in."""
    client = service.connect()
    assert client is not None
    return client


def ends(*clients: Client) -> list[str | None]:
    """Return how the service has closed each connection: ``orderly``, ``reset`` or not yet."""
    return [client.socket.closed for client in clients]
