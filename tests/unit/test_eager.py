"""The shorter way through the reactor: what Twisted's own tests of it do not ask."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn
from unittest.mock import Mock

import pytest
from fakes import Client, Service, connect
from processes import PATIENCE
from twisted.internet.error import ConnectionDone, UnsupportedAddressFamily
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IReactorFDSet,
    IReactorTCP,
    IReactorTime,
    IReadDescriptor,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import _reservedFD
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tsserv.net.closing import accept_and_close
from tsserv.net.reactor import EagerReactor, PlainReactor, eager

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")


@pytest.fixture
def client() -> Client:
    """Return a client of a service in chunk framing."""
    return connect(Service())


def test_what_is_written_goes_out_at_once(client: Client) -> None:
    client.transport.write(b"one")
    assert client.socket.taken == b"one"
    assert client.unsent == 0


def test_a_sequence_is_sent_with_what_is_written_after_it(client: Client) -> None:
    client.transport.writeSequence([b"one", b"two"])
    client.transport.write(b"three")
    assert client.socket.taken == b""
    assert client.turn()
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
    client.transport.protocol = Mock()  # as a TLS layer: with pyOpenSSL, Twisted hands it what is written
    client.transport.write(b"secret")
    assert client.socket.taken == b""


class Echo(Protocol):
    """Echoes, and fails on ``!``."""

    def dataReceived(self, data: bytes) -> None:
        if data == b"!":
            raise RuntimeError("a bug")
        assert self.transport is not None
        self.transport.write(data)


class Running:
    """An eager reactor over one in memory, which takes a turn when the test says so, and its real clients."""

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
            self.reactor.epoll_set.doRead()

    def close(self) -> None:
        """Let everything go."""
        self.reactor.epoll_set.connectionLost(Failure(ConnectionError()))
        for client in self.clients:
            client.close()


@pytest.fixture
def running() -> Iterator[Running]:
    """Return an eager reactor that listens."""
    running = Running()
    yield running
    running.close()


def arrived(client: socket.socket) -> bool:
    """Return whether something can be read."""
    return bool(select.select([client], [], [], 0)[0])


def test_keeps_to_the_interfaces_and_hands_the_rest_on(running: Running) -> None:
    for interface in (IReactorFDSet, IReactorTCP, IReactorTime):
        assert verifyObject(interface, running.reactor)
    assert verifyObject(IReadDescriptor, running.reactor.epoll_set)
    assert running.real.getReaders() == [running.reactor.epoll_set]
    assert running.reactor.seconds() == 0.0


def test_knows_and_forgets_all_who_read_and_write(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    running.connect(1)
    [transport] = [reader for reader in running.reactor.getReaders() if hasattr(reader, "protocol")]
    transport.startWriting()
    assert running.reactor.getWriters() == [transport]
    monkeypatch.setattr(running.real, "removeAll", lambda: ["others"])
    assert {*running.reactor.removeAll()} == {running.port, transport, "others"}
    assert running.reactor.getWriters() == []
    assert running.reactor.getReaders() == []
    for descriptor in (running.port, transport):
        descriptor.startReading()  # so that they are closed at the end


def test_a_write_does_not_wait_for_the_acknowledgement_of_the_one_before(running: Running) -> None:
    running.connect(1)
    [transport] = [reader for reader in running.reactor.getReaders() if hasattr(reader, "protocol")]
    assert transport.getTcpNoDelay()


def test_a_family_that_is_neither_tcp_nor_unix_is_refused(running: Running) -> None:
    with pytest.raises(UnsupportedAddressFamily):
        running.reactor.adoptStreamPort(0, -1, Factory())


def test_a_bug_in_one_connection_is_logged_and_ends_that_one(running: Running, logged: list[str]) -> None:
    good, bad, other = running.connect(3)
    for client, data in ((good, b"1"), (bad, b"!"), (other, b"2")):
        client.sendall(data)
    running.turn(lambda: arrived(good) and arrived(bad) and arrived(other))
    assert (good.recv(9), other.recv(9)) == (b"1", b"2")
    assert bad.recv(9) == b""
    assert [line for line in logged if "Unhandled" in line] == [
        f"Unhandled error in <Echo #1 on {running.port.getHost().port}>"
    ]


@pytest.mark.parametrize("lingers", [0, 1], ids=["closed", "reset"])
def test_a_bug_at_the_end_of_one_connection_is_logged_and_harms_no_other(
    lingers: int, running: Running, logged: list[str]
) -> None:
    bad, good = running.connect(2)
    bad.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", lingers, 0))
    for reader in running.reactor.getReaders():
        if hasattr(reader, "protocol"):
            reader.protocol.connectionLost = lambda reason: 1 // 0
    bad.close()
    good.sendall(b"x")
    running.turn(lambda: arrived(good))
    assert good.recv(9) == b"x"
    assert [line for line in logged if "Unhandled" in line] == [
        f"Unhandled error in <NoneType #0 on {running.port.getHost().port}>"
    ]
    running.close()
    assert running.reactor.epoll_set.fileno() == -1


def test_who_is_removed_by_an_earlier_one_of_the_batch_is_left_alone(running: Running) -> None:
    one, two = running.connect(2)
    transports = [reader for reader in running.reactor.getReaders() if hasattr(reader, "protocol")]

    def close_the_other(data: bytes) -> None:
        for transport in transports:
            transport.stopReading()

    for transport in transports:
        transport.protocol.dataReceived = close_the_other
    one.sendall(b"x")
    two.sendall(b"x")
    running.reactor.epoll_set.doRead()
    running.reactor.epoll_set.doRead()
    assert not [reader for reader in running.reactor.getReaders() if reader in transports]
    for transport in transports:
        transport.startReading()  # so that they are closed at the end


def test_when_the_reactor_stops_every_connection_ends_and_no_descriptor_is_left(running: Running) -> None:
    descriptors = Path("/proc/self/fd")
    client, _ = running.connect(2)
    before = len(list(descriptors.iterdir()))
    running.reactor.epoll_set.connectionLost(Failure(ConnectionError()))
    assert client.recv(1) == b""
    assert len(list(descriptors.iterdir())) == before - 4  # two connections, the listener, the epoll set


def test_the_end_of_a_connection_may_be_the_end_of_the_reactor(running: Running) -> None:
    (client,) = running.connect(1)
    [transport] = [reader for reader in running.reactor.getReaders() if hasattr(reader, "protocol")]
    transport.protocol.connectionLost = running.reactor.epoll_set.connectionLost
    client.close()
    running.reactor.epoll_set.doRead()
    assert running.reactor.epoll_set.fileno() == -1


def test_one_that_watches_nothing_leaves_the_real_reactor(running: Running) -> None:
    running.connect(1)
    [transport] = [reader for reader in running.reactor.getReaders() if hasattr(reader, "protocol")]
    for descriptor in (running.port, transport):
        assert running.real.getReaders() == [running.reactor.epoll_set]
        descriptor.stopReading()
    assert running.real.getReaders() == []
    assert running.reactor.epoll_set.fileno() == -1
    running.reactor.epoll_set.doRead()  # as the real reactor may in the same turn
    for descriptor in (running.port, transport):
        descriptor.startReading()
        assert running.real.getReaders() == [running.reactor.epoll_set]


@implementer(IHalfCloseableDescriptor)
class Descriptor:
    """One end of a socket pair, which does what the test says when it can read or write."""

    def __init__(self, reactor: EagerReactor, action: Callable[[], object]) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.number: Callable[[], int] = self.ours.fileno
        self.doRead = self.doWrite = action
        self.events: list[str] = []
        self._reactor = reactor
        reactor.addReader(self)

    def fileno(self) -> int:
        return self.number()

    def logPrefix(self) -> str:
        return "-"

    def readConnectionLost(self, reason: Failure) -> None:
        self.events.append("read connection lost")

    def writeConnectionLost(self, reason: Failure) -> None:
        raise NotImplementedError

    def connectionLost(self, reason: Failure) -> None:
        self.events.append("connection lost")

    def close(self) -> None:
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def describe(running: Running) -> Iterator[Callable[[Callable[[], object]], Descriptor]]:
    """Return a function that makes a descriptor which does something when it is ready."""
    made: list[Descriptor] = []

    def describe(action: Callable[[], object]) -> Descriptor:
        made.append(Descriptor(running.reactor, action))
        return made[-1]

    yield describe
    for descriptor in made:
        descriptor.close()


Describe = Callable[[Callable[[], object]], Descriptor]


def fail(error: BaseException) -> NoReturn:
    raise error


def failing(error: int) -> Callable[[socket.socket], NoReturn]:
    """Return an ``accept`` that fails."""
    return lambda _: fail(OSError(error, os.strerror(error)))


def test_an_exception_in_the_first_read_of_all_ends_that_one_alone(
    running: Running, describe: Describe, logged: list[str]
) -> None:
    bad = describe(lambda: fail(RuntimeError("a bug")))
    bad.theirs.send(b"x")
    running.reactor.epoll_set.doRead()
    assert bad.events == ["connection lost"]
    assert len([line for line in logged if "Unhandled" in line]) == 1
    [client] = running.connect(1)
    client.sendall(b"x")
    running.turn(lambda: arrived(client))


@pytest.mark.parametrize("before", ["reads", "writes"])
@pytest.mark.parametrize("event", ["read", "write"])
def test_what_an_exception_ends_is_not_a_matter_of_earlier_events(
    before: str, event: str, running: Running, describe: Describe
) -> None:
    other = describe(lambda: other.theirs.close())
    one = describe(lambda: fail(ConnectionDone()))
    for descriptor, writes in ((other, before == "writes"), (one, event == "write")):
        if writes:
            running.reactor.removeReader(descriptor)
            running.reactor.addWriter(descriptor)
        else:
            descriptor.theirs.send(b"x")
    running.reactor.epoll_set.doRead()
    assert one.events[0] == {"read": "read connection lost", "write": "connection lost"}[event]


@pytest.mark.parametrize(
    "number", [lambda: fail(ValueError("closed")), lambda: -1, lambda: 12345], ids=["raises", "-1", "other"]
)
@pytest.mark.parametrize("event", ["read", "write"])
def test_a_descriptor_that_fails_leaves_whatever_it_says_its_number_is(
    event: str, number: Callable[[], int], running: Running, describe: Describe
) -> None:
    calls = []

    def act() -> None:
        calls.append(1)
        bad.number = number
        fail(RuntimeError("a bug"))

    bad = describe(act)
    if event == "read":
        bad.theirs.send(b"x")
    else:
        running.reactor.removeReader(bad)
        running.reactor.addWriter(bad)
    running.reactor.epoll_set.doRead()
    running.reactor.epoll_set.doRead()
    assert (len(calls), bad.events) == (1, ["connection lost"])
    assert running.reactor.getReaders() == [running.port, running.reactor.epoll_set]
    assert running.reactor.getWriters() == []


@pytest.mark.parametrize("event", ["read", "write"])
def test_a_socket_that_was_closed_and_not_removed_makes_way_for_the_next_with_its_number(
    event: str, running: Running, describe: Describe
) -> None:
    old = describe(lambda: fail(AssertionError("it is closed")))
    if event == "write":
        running.reactor.removeReader(old)
        running.reactor.addWriter(old)
    number = old.ours.fileno()
    old.ours.close()
    new = describe(lambda: new.events.append("served"))
    assert new.ours.fileno() == number
    new.theirs.send(b"x")
    running.reactor.epoll_set.doRead()
    assert new.events[0] == "served"


def test_a_socket_that_is_closed_while_it_is_watched_for_both_can_be_removed(
    running: Running, describe: Describe
) -> None:
    closed = describe(lambda: None)
    running.reactor.addWriter(closed)
    number = closed.ours.fileno()
    closed.ours.close()
    closed.number = lambda: number
    running.reactor.removeReader(closed)
    assert running.reactor.getReaders() == [running.port, running.reactor.epoll_set]
    assert running.reactor.getWriters() == []


@pytest.mark.parametrize("error", [errno.EPROTO, errno.ENETDOWN, errno.EACCES, errno.EPERM])
def test_an_error_of_accept_is_reported_and_the_next_client_is_accepted(
    error: int, running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    with socket.create_connection(("127.0.0.1", running.port.getHost().port), PATIENCE) as client:
        with monkeypatch.context() as patched:
            patched.setattr(socket.socket, "_accept", failing(error))
            running.reactor.epoll_set.doRead()
        assert {*logged} == {f"cannot accept a connection: [Errno {error}] {os.strerror(error)}"}
        client.sendall(b"x")
        running.turn(lambda: arrived(client))


def test_an_error_of_accept_keeps_nobody_from_being_served_at_the_end(
    running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    real, calls = socket.socket._accept, iter([failing(errno.EPROTO)] * 2)  # type: ignore[attr-defined]
    monkeypatch.setattr(socket.socket, "_accept", lambda listening: next(calls, real)(listening))
    with socket.create_connection(("127.0.0.1", running.port.getHost().port), PATIENCE) as client:
        accept_and_close(running.port)
        client.sendall(b"x")
        running.turn(lambda: arrived(client))
        assert client.recv(9) == b"x"
    assert len([line for line in logged if line.startswith("cannot accept")]) == 2


@pytest.mark.parametrize("error", [errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_system_without_room_is_not_asked_again_at_once(
    error: int, running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    with socket.create_connection(("127.0.0.1", running.port.getHost().port), PATIENCE) as client:
        with monkeypatch.context() as patched:
            patched.setattr(socket.socket, "_accept", failing(error))
            for _ in range(9):
                running.reactor.epoll_set.doRead()
        assert len(logged) == 1
        running.real.advance(0.125)
        client.sendall(b"x")
        running.turn(lambda: arrived(client))


def test_a_listener_that_has_closed_meanwhile_does_not_try_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "_accept", failing(errno.ENFILE))
    running.port.doRead()
    running.port.stopListening()
    running.real.advance(0.125)
    assert running.reactor.getReaders() == []


def test_without_file_descriptors_those_who_wait_are_turned_away(
    running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    real, calls = socket.socket._accept, iter([failing(errno.EMFILE)])  # type: ignore[attr-defined]
    monkeypatch.setattr(socket.socket, "_accept", lambda listening: next(calls, real)(listening))
    with socket.create_connection(("127.0.0.1", running.port.getHost().port), PATIENCE) as client:
        running.reactor.epoll_set.doRead()
        assert client.recv(1) == b""
    assert len(logged) == 1
    [client] = running.connect(1)
    client.sendall(b"x")
    running.turn(lambda: arrived(client))


def test_without_one_in_reserve_either_they_wait(
    running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    monkeypatch.setattr(_reservedFD, "available", lambda: False)
    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "_accept", failing(errno.EMFILE))
        running.port.doRead()
    assert running.reactor.getReaders() == []
    running.real.advance(0.125)
    running.connect(1)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_an_exception_while_a_client_is_accepted_costs_no_other(
    error: type[BaseException], running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    address = ("127.0.0.1", running.port.getHost().port)
    with socket.create_connection(address, PATIENCE) as client:
        with monkeypatch.context() as patched:
            patched.setattr(running.port.factory, "buildProtocol", lambda _: fail(error("a bug")))
            running.reactor.epoll_set.doRead()
        assert client.recv(1) == b""
    assert len(logged) == 1
    assert "Unhandled error in <twisted.internet.protocol.Factory" in logged[0]
    running.connect(1)


def test_where_it_cannot_be_the_real_reactor_serves(
    logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    assert isinstance(eager(clock), PlainReactor)
    assert "has no epoll, or takes no readers" in logged[0]
    reactor = MemoryReactorClock()
    assert isinstance(eager(reactor), EagerReactor)
    monkeypatch.delattr(select, "epoll")
    assert isinstance(eager(reactor), PlainReactor)


def test_a_unix_connection_receives_no_file_descriptor_where_the_system_lets_them_pass(
    running: Running, tmp_path: Path, logged: list[str]
) -> None:
    running.reactor.listenUNIX(os.fsencode(tmp_path / "sock"), Factory.forProtocol(Echo))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "sock"))
        socket.send_fds(client, [b"x"], [client.fileno()])
        running.turn(lambda: arrived(client))
        assert client.recv(9) == b"x"
    assert not [line for line in logged if "closing file descriptor received" in line]
