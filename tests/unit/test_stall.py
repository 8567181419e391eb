"""Slow clients are told from stalled ones, whatever their systems and proxies take ahead of them."""

from __future__ import annotations

import socket
import struct

import pytest
from fakes import Client, Service, connect, ends
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tsserv.connections.stall import PORTION
from tsserv.net.queues import _SO_MEMINFO

TIMEOUT = 8.0
CHECK = TIMEOUT / 8

KIB = 1024


class Reader:
    """
    A client that always sends, and the systems between it and the service.

    :param rate: at which it reads, in bytes a second.
    :param capacity: how many bytes the systems hold that it has not read.
    :param step: how many of them it must have read before the systems take more.
    """

    def __init__(self, service: Service, rate: float, capacity: int, step: int) -> None:
        self.client: Client = connect(service)
        self._service = service
        self._rate, self._capacity, self._step = rate, capacity, step
        self.client.socket.room = capacity
        self.client.socket.inbox.append(bytes(capacity + 1))
        self.read = 0.0

    def run(self, seconds: float) -> None:
        """Let time pass."""
        sock = self.client.socket
        for _ in range(round(seconds / CHECK)):
            if sock.closed:
                return
            if not sock.inbox:
                sock.inbox.append(bytes(64 * KIB))
            self._service.run(CHECK, step=CHECK)
            self.read = min(self.read + self._rate * CHECK, len(sock.taken))
            free = self._capacity - (len(sock.taken) - self.read)
            if free >= self._step:
                sock.room = int(free)

    def seconds_until_aborted(self, most: float) -> float:
        """Return after how long it is aborted."""
        begun = self._service.reactor.seconds()
        self.run(most)
        assert ends(self.client) == ["reset"]
        return self._service.reactor.seconds() - begun


@given(
    rate=st.floats(1.0, 100.0).map(lambda factor: factor * PORTION / TIMEOUT),
    capacity=st.integers(1, 256 * KIB),
    part=st.floats(0.01, 1.0),
)
@example(rate=PORTION / TIMEOUT, capacity=256 * KIB, part=1.0)
@settings(max_examples=30)
def test_a_client_that_reads_fast_enough_is_never_aborted(rate: float, capacity: int, part: float) -> None:
    step = max(1, int(capacity * part))
    reader = Reader(Service(stall_timeout=TIMEOUT), rate, capacity, step)
    reader.run(max(200.0, 4 * step / rate))
    assert ends(reader.client) == [None]


@pytest.mark.parametrize("capacity", [0, 1, 64 * KIB, 2048 * KIB])
def test_a_client_that_reads_nothing_is_aborted(capacity: int) -> None:
    """It has the time in which the slowest client would read what the systems have taken, up to 2 MiB."""
    reader = Reader(Service(stall_timeout=TIMEOUT), 0, capacity, 1)
    ahead = min(capacity, 2048 * KIB) / PORTION * TIMEOUT
    took = reader.seconds_until_aborted(2 * ahead + 100)
    assert ahead + TIMEOUT <= took <= ahead + TIMEOUT + 3 * CHECK


def test_a_client_that_reads_too_slowly_is_aborted() -> None:
    reader = Reader(Service(stall_timeout=TIMEOUT), PORTION / TIMEOUT / 2, 128 * KIB, 128 * KIB)
    reader.seconds_until_aborted(1000)


def test_what_a_client_has_read_quickly_does_not_let_it_stop() -> None:
    service = Service(stall_timeout=TIMEOUT)
    reader = Reader(service, 1 << 30, 64 * KIB, 1)
    reader.run(1000)
    assert len(reader.client.socket.taken) > 60_000_000
    reader._rate = 0
    assert reader.seconds_until_aborted(3000) <= 2048 * KIB / PORTION * TIMEOUT + TIMEOUT + 3 * CHECK


def test_a_client_that_was_quiet_for_long_has_the_timeout_and_no_more() -> None:
    service = Service(stall_timeout=TIMEOUT)
    client = connect(service)
    client.socket.inbox.append(bytes(256 * KIB))
    service.run(1000 * CHECK + CHECK * 7 / 8)
    client.socket.room = 0
    client.socket.inbox.append(b"x")
    service.run(TIMEOUT - CHECK / 8)
    assert ends(client) == [None]
    service.run(2 * CHECK)
    assert ends(client) == ["reset"]


def test_over_a_unix_socket_bytes_count_as_read_by_whole_buffers() -> None:
    service = Service(stall_timeout=TIMEOUT)
    slow, stopped = connect(service), connect(service)
    for client in (slow, stopped):
        client.socket.family = socket.AF_UNIX
        client.socket.room = 0
        client.socket.inbox.append(bytes(64 * KIB))
    for _ in range(3):
        service.run(36 * KIB / PORTION * TIMEOUT)
        slow.socket.room += 36 * KIB
        slow.socket.inbox.append(bytes(64 * KIB))
    assert ends(slow, stopped) == [None, "reset"]


def test_a_full_socket_may_receive_more_while_its_client_acknowledges_nothing() -> None:
    service = Service(stall_timeout=TIMEOUT)
    full, roomy, reading = connect(service), connect(service), connect(service)
    for client, used in ((full, 262145), (roomy, 262144), (reading, 262145)):
        client.socket.options[socket.SOL_SOCKET, _SO_MEMINFO] = struct.pack("II", used, 262144)
        client.socket.inbox.append(bytes(64 * KIB))
    full.socket.room = roomy.socket.room = 0
    service.run(3 * CHECK)
    raised = [client.socket.options.get((socket.SOL_SOCKET, socket.SO_RCVBUF)) for client in service.clients]
    assert raised == [262144, None, None]
