"""What waits in a connection, in Twisted and in the kernel."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest
from fakes import Service, connect
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock

from tsserv.net.queues import largest_step, make_room, unsent, waiting


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """Return a transport on a real connection, and the socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(server.getsockname())
        accepted, _ = server.accept()
    with client, accepted:
        transport = Connection(accepted, Protocol(), MemoryReactorClock())
        transport.connected = 1
        yield transport, client


def test_nothing_waits_in_a_new_connection(pair: tuple[Connection, socket.socket]) -> None:
    transport, _ = pair
    assert unsent(transport) == 0
    assert not waiting(transport)


def test_what_has_arrived_waits_until_it_is_read(pair: tuple[Connection, socket.socket]) -> None:
    transport, client = pair
    client.sendall(b"x")
    while not waiting(transport):  # it arrives at once, but in another context of the kernel
        pass
    assert unsent(transport) == 0
    transport.doRead()
    assert not waiting(transport)


def test_what_is_written_waits_until_the_peer_has_taken_it(pair: tuple[Connection, socket.socket]) -> None:
    transport, client = pair
    data = b"x" * (256 * 1024)
    transport.write(data)
    assert unsent(transport) == len(data)
    transport.doWrite()
    transport.write(data)
    left_to_send = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    assert left_to_send < unsent(transport) <= 2 * len(data)  # the peer's buffer is far smaller
    assert waiting(transport)
    taken = 0
    while taken < 2 * len(data):
        transport.doWrite()
        taken += len(client.recv(1 << 20))
    while unsent(transport):  # acknowledged at once, but in another context of the kernel
        pass
    assert not waiting(transport)


def test_a_unix_socket_frees_whole_buffers_and_none_is_larger_than_the_largest_step() -> None:
    reading, writing = socket.socketpair()
    with reading, writing:
        writing.setblocking(False)
        transport = Connection(writing, Protocol(), MemoryReactorClock())
        transport.connected = 1
        transport.write(bytes(256 * 1024))
        transport.doWrite()
        before, taken = unsent(transport), 0
        while unsent(transport) == before:
            taken += len(reading.recv(64))
        assert 64 < taken <= largest_step(transport)


def test_over_tcp_there_are_no_such_buffers(pair: tuple[Connection, socket.socket]) -> None:
    assert largest_step(pair[0]) == 0


def test_where_the_kernel_does_not_tell_twisted_does() -> None:
    client = connect(Service())
    client.socket.room = 0
    client.transport.write(b"x")
    assert unsent(client.transport) == 1


def test_a_system_that_does_not_tell_how_much_memory_is_used_gets_nothing_changed() -> None:
    client = connect(Service())
    before = dict(client.socket.options)

    def refuse(level: int, option: int, size: int = 0) -> object:
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    client.socket.getsockopt = refuse  # type: ignore[method-assign]
    make_room(client.transport)
    assert client.socket.options == before
