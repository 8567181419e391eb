"""The socket in memory behaves as a real one: the same assertions on both."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from fakes import FakeSocket


class Pair(NamedTuple):
    """The server's end of a connection, and what its client can do."""

    server: Any
    send: Callable[[bytes], object]
    half_close: Callable[[], object]
    reset: Callable[[], object]
    #: Let the server's end fill up, and make room again.
    fill: Callable[[], object]
    drain: Callable[[], object]
    #: Returns all that the client has received since it was called last.
    received: Callable[[], bytes]


def in_memory() -> Pair:
    """Return a pair whose server's end is the fake."""
    fake = FakeSocket()

    def received() -> bytes:
        data = bytes(fake.taken)
        fake.taken.clear()
        return data

    def reset() -> None:
        fake.broken = True

    def half_close() -> None:
        fake.ended = True

    def room(size: int) -> None:
        fake.room = size

    return Pair(fake, fake.inbox.append, half_close, reset, lambda: room(0), lambda: room(1 << 40), received)


def real() -> Pair:
    """Return a pair of real sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    server.setblocking(False)

    def received() -> bytes:
        client.setblocking(False)
        data = b""
        try:
            while piece := client.recv(1 << 20):
                data += piece
        except BlockingIOError:
            pass
        return data

    def reset() -> None:
        if client.fileno() >= 0:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    def fill() -> None:
        try:
            while True:
                server.send(bytes(1 << 20))
        except BlockingIOError:
            pass

    return Pair(
        server, client.sendall, lambda: client.shutdown(socket.SHUT_WR), reset, fill, received, received
    )


@pytest.fixture(params=[in_memory, real])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Return the server's end of a connection, fake or real."""
    pair: Pair = request.param()
    yield pair
    pair.reset()
    pair.server.close()


def eventually(attempt: Callable[[], bytes]) -> bytes:
    """Return what ``attempt`` returns when it no longer says that there is nothing to read."""
    while True:
        try:
            return attempt()
        except BlockingIOError:
            pass


def test_what_was_sent_is_read_in_pieces_of_the_size_asked_for(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair.server.recv(1)
    pair.send(b"hello")
    assert eventually(lambda: pair.server.recv(3)) == b"hel"
    assert eventually(lambda: pair.server.recv(100)) == b"lo"
    with pytest.raises(BlockingIOError):
        pair.server.recv(1)


def test_the_end_comes_after_all_data_and_stays(pair: Pair) -> None:
    pair.send(b"x")
    pair.half_close()
    assert eventually(lambda: pair.server.recv(100)) == b"x"
    assert [eventually(lambda: pair.server.recv(100)) for _ in range(2)] == [b"", b""]
    assert pair.server.send(b"y") == 1
    while not (data := pair.received()):
        pass
    assert data == b"y"


def test_a_full_socket_takes_nothing_until_there_is_room(pair: Pair) -> None:
    pair.fill()
    with pytest.raises(BlockingIOError):
        pair.server.send(b"x")
    while True:
        pair.drain()
        try:
            assert pair.server.send(b"x") == 1
            break
        except BlockingIOError:
            pass


def test_sending_nothing_is_always_possible(pair: Pair) -> None:
    assert pair.server.send(b"") == 0
    pair.fill()
    assert pair.server.send(b"") == 0


def test_a_reset_is_an_error_in_both_directions(pair: Pair) -> None:
    pair.send(b"unread")
    pair.reset()
    with pytest.raises(ConnectionResetError):
        eventually(lambda: pair.server.recv(100) and pair.server.recv(100))  # data may come first
    with pytest.raises(BrokenPipeError):
        pair.server.send(b"x")


def test_options_are_remembered_and_there_is_a_descriptor(pair: Pair) -> None:
    pair.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert pair.server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert os.fstat(pair.server.fileno())
    pair.server.setblocking(False)
    pair.server.shutdown(socket.SHUT_RDWR)
