"""The shorter way through the reactor: what Twisted's own tests of it do not ask."""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes import Client, Service, connect
from processes import PATIENCE, STAMP, Twistd, send_all_and_read_to_the_end
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP, IReactorTime, IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tsserv.net.reactor import EagerReactor, eager

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")


@pytest.fixture
def client() -> Client:
    """Return a client of a service in chunk framing."""
    return connect(Service())


def test_what_is_written_goes_out_at_once(client: Client) -> None:
    client.transport.write(b"one")
    client.transport.writeSequence([b"two", b"three"])
    assert client.socket.taken == b"onetwothree"
    assert client.unsent == 0


def test_what_the_socket_does_not_take_is_queued_and_so_is_what_follows(client: Client) -> None:
    client.socket.room = 4
    client.transport.write(b"first")
    assert (bytes(client.socket.taken), client.unsent) == (b"firs", 1)
    client.socket.room = 100
    client.transport.write(b"second")
    assert (bytes(client.socket.taken), client.unsent) == (b"firs", 7)
    while client.turn():
        pass
    assert client.socket.taken == b"firstsecond"


def test_a_write_that_fails_loses_the_connection_later(client: Client) -> None:
    client.socket.broken = True
    client.transport.write(b"x")
    assert client.socket.closed is None
    while client.turn():
        pass
    assert client.socket.closed is not None
    client.transport.write(b"x")  # says nothing, as Twisted does


def test_readiness_without_data_is_nothing(client: Client) -> None:
    assert client.transport.doRead() is None


def test_a_client_that_has_its_answers_and_ends_is_closed_in_the_same_turn(client: Client) -> None:
    client.socket.inbox.append(b"x")
    client.socket.ended = True
    assert client.turn()
    assert client.socket.closed is None
    assert client.turn()
    assert client.socket.closed == "orderly"


def test_a_client_that_ends_with_answers_unsent_is_closed_when_they_are_sent(client: Client) -> None:
    client.socket.inbox.append(b"x")
    client.socket.ended = True
    client.socket.room = 9
    assert client.turn()
    assert client.turn()
    assert client.socket.closed is None
    client.socket.room = 100
    while client.turn():
        pass
    assert client.socket.closed == "orderly"
    assert client.socket.taken.endswith(b"] x")


def test_a_client_that_ends_while_somebody_still_produces_is_not_closed(client: Client) -> None:
    transport = client.transport
    client.protocol.finish = lambda reason: transport.loseConnection()  # type: ignore[method-assign]
    transport.unregisterProducer()
    transport.registerProducer(transport, streaming=True)
    client.socket.ended = True
    assert client.turn()
    assert client.socket.closed is None


def test_what_is_written_after_an_abort_goes_nowhere(client: Client) -> None:
    client.transport.abortConnection()
    client.transport.write(b"x")
    assert client.socket.taken == b""


def test_a_producer_that_waits_to_be_asked_is_asked_when_all_is_sent(client: Client) -> None:
    class Three:
        left = 3

        def resumeProducing(self) -> None:
            if self.left:
                self.left -= 1
                client.transport.write(b"%d" % self.left)

        def stopProducing(self) -> None:
            raise NotImplementedError

    client.transport.unregisterProducer()
    client.transport.registerProducer(Three(), streaming=False)
    while client.turn():
        pass
    assert client.socket.taken == b"210"


@pytest.mark.parametrize("data", ["text", bytearray(b"x"), None])
def test_only_bytes_can_be_written(data: object, client: Client) -> None:
    with pytest.raises(TypeError):
        client.transport.write(data)  # type: ignore[arg-type]


def test_under_tls_nothing_is_sent_past_the_tls_layer(client: Client) -> None:
    client.transport.TLS = True
    client.transport.write(b"secret")  # Twisted's write, which hands it to the TLS layer
    assert client.socket.taken == b""


class Echo(Protocol):
    """Echoes, and fails on ``!``."""

    def dataReceived(self, data: bytes) -> None:
        if data == b"!":
            raise RuntimeError("a bug")
        assert self.transport is not None
        self.transport.write(data)


class Face:
    """An eager face over a reactor in memory, which the test has take its turns, and its real clients."""

    def __init__(self) -> None:
        self.real = MemoryReactorClock()
        self.reactor = EagerReactor(self.real)
        self.port = self.reactor.listenTCP(0, Factory.forProtocol(Echo), 1000, "127.0.0.1")
        self.clients: list[socket.socket] = []

    def connect(self, count: int) -> list[socket.socket]:
        """Return clients that have been accepted."""
        address = ("127.0.0.1", self.port.getHost().port)
        before = len(self.reactor.getReaders())
        clients = [socket.create_connection(address, PATIENCE) for _ in range(count)]
        self.clients += clients
        self.turn(lambda: len(self.reactor.getReaders()) == before + count)
        return clients

    def turn(self, until: Callable[[], bool]) -> None:
        """Have the reactor serve batches until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline
            self.reactor.doRead()

    def close(self) -> None:
        """Let everything go."""
        self.reactor.connectionLost(Failure(ConnectionError()))
        for client in self.clients:
            client.close()


@pytest.fixture
def face() -> Iterator[Face]:
    """Return a face over a reactor in memory."""
    face = Face()
    yield face
    face.close()


def arrived(client: socket.socket) -> bool:
    """Return whether something can be read."""
    return bool(select.select([client], [], [], 0)[0])


def test_keeps_to_the_interfaces_and_hands_the_rest_on(face: Face) -> None:
    for interface in (IReactorFDSet, IReactorTCP, IReactorTime, IReadDescriptor):
        assert verifyObject(interface, face.reactor)
    assert face.real.getReaders() == [face.reactor]
    assert face.reactor.seconds() == 0.0


def test_knows_and_forgets_all_who_read_and_write(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    face.connect(1)
    [transport] = [reader for reader in face.reactor.getReaders() if hasattr(reader, "protocol")]
    transport.startWriting()
    assert face.reactor.getWriters() == [transport]
    monkeypatch.setattr(face.real, "removeAll", lambda: ["others"])
    assert {*face.reactor.removeAll()} == {face.port, transport, "others"}
    assert face.reactor.getWriters() == []
    assert face.reactor.getReaders() == [face.reactor]
    for descriptor in (face.port, transport):
        descriptor.startReading()  # so that the face knows them when it closes


def test_a_family_that_is_neither_tcp_nor_unix_is_refused(face: Face) -> None:
    with pytest.raises(UnsupportedAddressFamily):
        face.reactor.adoptStreamPort(0, -1, Factory())


def test_one_turn_serves_a_bounded_batch(face: Face) -> None:
    clients = face.connect(300)
    for client in clients:
        client.sendall(b"x")
    counts: list[int] = []
    while sum(counts) < 300:
        face.reactor.doRead()
        counts.append(sum(map(arrived, clients)) - sum(counts))
    assert counts == [128, 128, 44]


def test_a_bug_in_one_connection_is_logged_and_ends_that_one(face: Face, logged: list[str]) -> None:
    good, bad, other = face.connect(3)
    for client, data in ((good, b"1"), (bad, b"!"), (other, b"2")):
        client.sendall(data)
    face.turn(lambda: arrived(good) and arrived(bad) and arrived(other))
    assert (good.recv(9), other.recv(9)) == (b"1", b"2")
    assert bad.recv(9) == b""
    assert [line for line in logged if "Unhandled" in line] == [
        f"Unhandled error in <Echo #1 on {face.port.getHost().port}>"
    ]


def test_a_bug_at_the_end_of_one_connection_is_logged_and_harms_no_other(
    face: Face, logged: list[str]
) -> None:
    bad, good = face.connect(2)
    for reader in face.reactor.getReaders():
        if hasattr(reader, "protocol"):
            reader.protocol.connectionLost = lambda reason: 1 // 0
    bad.close()
    good.sendall(b"x")
    face.turn(lambda: arrived(good))
    assert good.recv(9) == b"x"
    assert [line for line in logged if "Unhandled" in line] == [
        f"Unhandled error in <NoneType #0 on {face.port.getHost().port}>"
    ]
    face.close()
    assert face.reactor.fileno() == -1


def test_who_is_removed_by_an_earlier_one_of_the_batch_is_left_alone(face: Face) -> None:
    one, two = face.connect(2)
    transports = [reader for reader in face.reactor.getReaders() if hasattr(reader, "protocol")]

    def close_the_other(data: bytes) -> None:
        for transport in transports:
            transport.stopReading()

    for transport in transports:
        transport.protocol.dataReceived = close_the_other
    one.sendall(b"x")
    two.sendall(b"x")
    face.reactor.doRead()
    face.reactor.doRead()
    assert not [reader for reader in face.reactor.getReaders() if reader in transports]
    for transport in transports:
        transport.startReading()  # so that the face knows them when it closes


def test_when_the_reactor_stops_every_connection_ends_and_no_descriptor_is_left(face: Face) -> None:
    descriptors = Path("/proc/self/fd")
    client, _ = face.connect(2)
    before = len(list(descriptors.iterdir()))
    face.reactor.connectionLost(Failure(ConnectionError()))  # as the real one tells all its readers
    assert client.recv(1) == b""
    assert len(list(descriptors.iterdir())) == before - 4  # two connections, the listener, the epoll set


def test_the_end_of_a_connection_may_be_the_end_of_the_reactor(face: Face) -> None:
    (client,) = face.connect(1)
    [transport] = [reader for reader in face.reactor.getReaders() if hasattr(reader, "protocol")]
    transport.protocol.connectionLost = face.reactor.connectionLost
    client.close()
    face.reactor.doRead()
    assert face.reactor.fileno() == -1


def test_where_it_cannot_be_the_real_reactor_serves(
    logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    assert eager(clock) is clock
    assert "has no epoll, or takes no readers" in logged[0]
    reactor = MemoryReactorClock()
    assert isinstance(eager(reactor), EagerReactor)
    monkeypatch.delattr(select, "epoll")
    assert eager(reactor) is reactor


@pytest.mark.skipif(sys.platform != "linux", reason="these are the reactors of Linux")
@pytest.mark.parametrize(
    ("reactor", "options"),
    [("epoll", []), ("poll", []), ("select", []), ("asyncio", []), ("epoll", ["--no-eager"])],
)
def test_a_real_service_on_every_reactor(
    reactor: str, options: list[str], serve: Callable[..., Twistd]
) -> None:
    service = serve(*options, reactor=reactor)
    data = bytes(range(256)) * 40000
    with service.connect() as client:
        client.sendall(b"x")
        assert client.recv(100).endswith(b"x")
        assert STAMP.sub(b"", send_all_and_read_to_the_end(service.connect(), data)) == data
    assert service.stop() <= 0
    assert "Traceback" not in service.output
