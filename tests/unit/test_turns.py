"""Whose turn it is: what takes long does not hold up the rest, and nothing is lost."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, cast

import pytest
from certificates import Files
from fakes import Service
from processes import PATIENCE, receive
from twisted.internet import tcp
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from tsserv.layers.credentials import Credentials
from tsserv.layers.tls import TLSFactory
from tsserv.net.reactor import EagerReactor
from tsserv.net.turns import set_aside
from tsserv.protocol import TimestampFactory

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")

_LONG, _SHORT = b"L", b"s"
_SECONDS = {_LONG: 0.002, _SHORT: 0.000005}


class Worker(Protocol):
    """Reads a byte at a time, takes as long as it says, and echoes it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.transport: Any = None

    def connectionMade(self) -> None:
        self.house.protocols.append(self)
        self.house.now += self.house.seconds_to_connect
        self.transport.bufferSize = 1

    def dataReceived(self, data: bytes) -> None:
        self.house.now += _SECONDS[data]
        self.house.served.append((self, data))
        self.transport.write(data)


class House:
    """An eager reactor over one in memory, with a clock that only work moves, and its real clients."""

    def __init__(self) -> None:
        self.now = self.seconds_to_connect = 0.0
        self.served: list[tuple[Worker, bytes]] = []
        self.protocols: list[Worker] = []
        self.clients: list[socket.socket] = []
        self.real = MemoryReactorClock()
        self.reactor = EagerReactor(self.real)
        for clocked in (self.reactor.epoll_set, self.reactor.epoll_set._aside):
            clocked._now = clocked._cpu = lambda: self.now
        factory = Factory()
        factory.buildProtocol = lambda _: Worker(self)  # type: ignore[method-assign,assignment]
        self.port = self.reactor.listenTCP(0, factory, 1000, "127.0.0.1")

    def connect(self) -> tuple[socket.socket, Worker]:
        """Return a client that has been accepted, and its protocol."""
        self.clients.append(socket.create_connection(("127.0.0.1", self.port.getHost().port), PATIENCE))
        self.turn(lambda: len(self.protocols) == len(self.clients))
        return self.clients[-1], self.protocols[-1]

    def turn(self, until: Callable[[], bool]) -> int:
        """Give the reactor turns until something is so, and return how many."""
        deadline = time.monotonic() + PATIENCE
        for number in count():
            if until():
                return number
            assert time.monotonic() < deadline
            self.reactor.epoll_set.doRead()
        raise AssertionError

    def is_first(self, worker: Worker) -> bool:
        """Return whether a connection is not aside."""
        return worker.transport.reactor is self.reactor

    def have_set_aside(self) -> tuple[socket.socket, Worker]:
        """Return a client that takes long and is aside, with some more to do, and its protocol."""
        client, worker = self.connect()
        client.sendall(_LONG * 50)
        self.turn(lambda: not self.is_first(worker))
        return client, worker


@pytest.fixture
def house() -> Iterator[House]:
    """Return an eager reactor that listens."""
    house = House()
    yield house
    house.reactor.epoll_set.connectionLost(Failure(ConnectionError()))
    for client in house.clients:
        client.close()


def test_a_turn_ends_by_time(house: House) -> None:
    """However many are ready, and however much they still have to do."""
    clients = [house.connect()[0] for _ in range(100)]
    for client in clients:
        client.sendall(_SHORT * 1000)
    house.reactor.epoll_set.doRead()
    assert 400 <= len(house.served) < 440


def test_those_that_take_long_do_not_hold_up_the_rest_and_are_served_to_the_end(house: House) -> None:
    polite, _ = house.connect()
    greedy = [house.connect()[0] for _ in range(20)]
    for client in greedy:
        client.sendall(_LONG * 50)
    house.turn(lambda: not any(map(house.is_first, house.protocols[1:])))
    waits = []
    for _ in range(20):
        polite.sendall(_SHORT)
        begun = house.now
        house.turn(lambda: bool(select.select([polite], [], [], 0)[0]))
        waits.append(house.now - begun)
        assert polite.recv(9) == _SHORT
    assert max(waits) < 0.01
    house.turn(lambda: len(house.served) == 20 + 20 * 50)
    for client in greedy:
        assert receive(client, 50) == _LONG * 50


def test_the_reactor_has_its_turn_although_all_take_long(house: House) -> None:
    house.have_set_aside()
    begun = house.now
    house.reactor.epoll_set.doRead()
    assert house.now - begun < 0.005


def test_one_that_takes_long_once_is_not_set_aside(house: House) -> None:
    client, worker = house.connect()
    for number in range(10):
        client.sendall(_LONG + _SHORT)
        house.turn(lambda number=number: len(house.served) == 2 * (number + 1))  # type: ignore[misc]
        assert house.is_first(worker)


def test_one_that_has_been_set_aside_comes_back_after_a_short_read(house: House) -> None:
    client, worker = house.have_set_aside()
    house.turn(lambda: len(house.served) == 50)
    assert not house.is_first(worker)
    client.sendall(_SHORT)
    house.turn(lambda: len(house.served) == 51)
    assert house.is_first(worker)
    client.sendall(_SHORT)
    house.turn(lambda: len(house.served) == 52)


def test_only_one_comes_back_at_a_time(house: House) -> None:
    three = [house.have_set_aside() for _ in range(3)]
    house.turn(lambda: len(house.served) == 150)
    for client, _ in three:
        client.sendall(_SHORT)
    before = [house.is_first(worker) for _, worker in three]
    house.reactor.epoll_set._aside.doRead()
    assert before == [False] * 3
    assert [house.is_first(worker) for _, worker in three].count(True) == 1


def test_a_new_connection_begins_aside_while_others_take_long(house: House) -> None:
    house.have_set_aside()
    client, worker = house.connect()
    assert not house.is_first(worker)
    client.sendall(_SHORT)
    house.turn(lambda: house.is_first(worker))
    assert client.recv(9) == _SHORT


def listen_with_tls(house: House, files: Files) -> tuple[str, int]:
    """Have the reactor listen with TLS, and return the address."""
    service = Service()
    connections, credentials = service.connections, Credentials(str(files.certificate), str(files.key))
    factory = TLSFactory(cast(TimestampFactory, service.factory), credentials, connections, service.reactor)
    return "127.0.0.1", house.reactor.listenTCP(0, factory, 1, "127.0.0.1").getHost().port


def test_a_connection_with_tls_begins_aside_even_if_no_others_take_long(house: House, files: Files) -> None:
    with socket.create_connection(listen_with_tls(house, files), PATIENCE):
        house.turn(lambda: bool(house.reactor.epoll_set._aside._readers))


def is_shaken(client: ssl.SSLSocket) -> bool:
    """Go on with a client's handshake, and return whether it is complete for the client."""
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def test_when_its_handshake_is_complete_it_is_aside_no_more_however_long_that_took(
    house: House, files: Files
) -> None:
    aside = house.reactor.epoll_set._aside
    seconds = count()
    aside._cpu = lambda: next(seconds)
    with (
        socket.create_connection(listen_with_tls(house, files), PATIENCE) as plain,
        files.context().wrap_socket(
            plain, server_hostname="127.0.0.1", do_handshake_on_connect=False
        ) as client,
    ):
        client.setblocking(False)
        assert not is_shaken(client)
        house.turn(lambda: bool(aside._readers))
        house.turn(lambda: is_shaken(client))
        assert aside._readers
        house.turn(lambda: not aside._readers)
        assert any(isinstance(reader, tcp.Server) for reader in house.reactor.getReaders())


def test_when_none_takes_long_any_more_a_new_connection_begins_among_the_first(house: House) -> None:
    client, _ = house.have_set_aside()
    house.turn(lambda: len(house.served) == 50)
    client.sendall(_SHORT * 100)
    house.turn(lambda: len(house.served) == 150)
    assert house.is_first(house.connect()[1])


def test_a_listener_is_not_set_aside(house: House) -> None:
    house.seconds_to_connect = 0.1
    for _ in range(5):
        house.connect()
    assert house.port in house.reactor.getReaders()


def test_one_aside_can_be_paused_aborted_and_end_as_the_others_can(house: House) -> None:
    """Its reactor is another one; here it ends by itself, and is not served meanwhile."""
    _, worker = house.have_set_aside()
    worker.transport.pauseProducing()
    before = len(house.served)
    house.reactor.epoll_set.doRead()
    assert len(house.served) == before
    worker.transport.resumeProducing()
    house.turn(lambda: len(house.served) == 50)
    worker.transport.abortConnection()
    house.real.advance(0)
    assert not worker.transport.connected


@pytest.mark.parametrize("reading", [True, False])
def test_one_that_waits_to_write_goes_on_writing_when_it_is_set_aside(reading: bool, house: House) -> None:
    client, worker = house.connect()
    size = 20_000_000
    worker.transport.write(b"x" * size)
    if not reading:
        worker.transport.pauseProducing()
    set_aside(worker.transport)
    received = bytearray()
    client.settimeout(0.01)
    deadline = time.monotonic() + PATIENCE
    while len(received) < size and time.monotonic() < deadline:
        house.reactor.epoll_set.doRead()
        received += client.recv(1 << 20)
    assert len(received) == size
    worker.transport.resumeProducing()
    client.sendall(_SHORT)
    house.turn(lambda: len(house.served) == 1)


def test_when_the_reactor_stops_those_aside_end_too(house: House) -> None:
    client, worker = house.have_set_aside()
    assert worker.transport.connected
    house.reactor.epoll_set.connectionLost(Failure(ConnectionError()))
    assert not worker.transport.connected
    assert house.reactor.epoll_set._aside.fileno() == -1
    assert client.recv(1) == _LONG
