"""Which answer belongs to which probe, without a network; and probes that go out in pieces."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from pinging import serving
from processes import PATIENCE

from tsserv.ping.address import HostPort
from tsserv.ping.answers import LARGEST, Probes
from tsserv.ping.connection import Connection, ConnectionEnded
from tsserv.ping.conversation import Conversation
from tsserv.ping.counts import Counts
from tsserv.ping.dialer import Dialer
from tsserv.ping.flood import Flood
from tsserv.ping.interrupt import Interrupt
from tsserv.ping.loop import Task, complete
from tsserv.ping.offset import Offset
from tsserv.ping.outputs.base import Outputs, Summary
from tsserv.ping.result import Result
from tsserv.ping.run import Run
from tsserv.ping.steady import Steady
from tsserv.ping.tcpinfo import tcp_info
from tsserv.ping.verdict import Thresholds

SECOND = 10**9


class Wire(Connection):
    """A connection that sends nowhere and receives what it is given."""

    def __init__(self) -> None:
        self.received = b""
        self.tcp_info = None

    def send(self, data: bytes) -> None:
        pass

    def receive(self) -> bytes:
        return self.received

    def update_tcp_info(self) -> int:
        return 0


class Exchange:
    """A conversation over a wire, and what it counts."""

    def __init__(self, timeout: int = 100 * SECOND) -> None:
        self.wire = Wire()
        self.probes = Probes(64)
        self.counts = Counts()
        self.conversation = Conversation(self.wire, self.probes, timeout, self.counts, Offset())
        for number in (1, 2, 3):
            self.conversation.send(number)

    def receive(self, *lines: bytes) -> list[Result]:
        self.wire.received = b"".join(lines)
        return self.conversation.receive()

    def answer(self, number: int) -> bytes:
        return b"[1795422158.250000] " + self.probes.line(number)


@pytest.mark.parametrize("pause", [0, SECOND])
def test_a_pause_at_any_clock_makes_the_offset_vague_and_not_wrong(
    pause: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may run somebody else after any reading of a clock."""
    now = [1795422158 * SECOND]  # of the server's clock too

    def read_clock() -> int:
        now[0] += pause
        return now[0] - pause

    monkeypatch.setattr(time, "time_ns", read_clock)
    monkeypatch.setattr(time, "monotonic_ns", read_clock)
    exchange = Exchange()
    seconds, nanoseconds = divmod(now[0], SECOND)
    stamp = b"[%d.%06d] " % (seconds, nanoseconds // 1000)
    [result] = exchange.receive(stamp + exchange.probes.line(3))
    assert result.measurement is not None
    assert result.measurement.offset.low <= 0 <= result.measurement.offset.high


def test_losses_without_end_take_bounded_memory() -> None:
    exchange = Exchange(timeout=0)
    results = []
    for number in range(4, 25_004):
        exchange.conversation.send(number)
        exchange.conversation.overdue()
        results += exchange.receive()
    assert [result.number for result in results] == list(range(1, 15_004))
    assert {result.outcome for result in results} == {"lost"}
    assert exchange.counts.lost == 15_003
    [late] = exchange.receive(exchange.answer(20_000))
    assert late.late
    exchange.conversation.end()
    assert exchange.counts.lost == 25_002


def test_each_answer_is_counted_once() -> None:
    exchange = Exchange()
    results = exchange.receive(*(exchange.answer(number) for number in (2, 1, 2, 3, 2)))
    assert [(result.number, result.outcome) for result in results] == [
        (2, "answered"),
        (1, "answered"),
        (3, "answered"),
    ]
    assert (exchange.counts.answered, exchange.counts.doubled) == (3, 2)
    assert exchange.conversation.deadline is None
    assert exchange.conversation.end() == []


def test_a_line_that_nothing_is_waiting_for_is_stray() -> None:
    exchange = Exchange()
    exchange.receive(*(exchange.answer(number) for number in (1, 2, 3)))
    assert exchange.receive(b"[1] ?\n", exchange.answer(2)[:-2] + b"?\n") == []
    assert (exchange.counts.altered, exchange.counts.stray) == (0, 2)


def test_an_answer_without_any_stamp_before_it_has_no_offset() -> None:
    exchange = Exchange()
    [altered, answered] = exchange.receive(b"?" + exchange.probes.line(1), exchange.probes.line(2))
    assert (altered.number, altered.outcome) == (1, "altered")
    assert (answered.number, answered.outcome, answered.measurement) == (2, "answered", None)


def test_what_is_overdue_may_still_be_answered_and_is_lost_in_the_end() -> None:
    exchange = Exchange(timeout=0)
    assert exchange.conversation.deadline is not None
    assert exchange.conversation.overdue() == [1, 2, 3]
    assert exchange.conversation.overdue() == []
    assert exchange.conversation.deadline is None
    [late] = exchange.receive(exchange.answer(2))
    assert (late.number, late.outcome, late.late) == (2, "answered", True)
    assert [(result.number, result.outcome) for result in exchange.conversation.end()] == [
        (1, "lost"),
        (3, "lost"),
    ]
    assert (exchange.counts.late, exchange.counts.lost, exchange.counts.pending) == (1, 2, 0)


@pytest.mark.parametrize(("reason", "outcome"), [("", "pending"), ("why", "lost")])
def test_what_waits_at_the_end_is_pending_unless_there_is_a_reason(reason: str, outcome: str) -> None:
    exchange = Exchange()
    exchange.receive(exchange.answer(2))
    results = exchange.conversation.end(reason)
    assert [(result.number, result.outcome, result.reason) for result in results] == [
        (1, outcome, reason),
        (3, outcome, reason),
    ]


def test_a_connection_that_was_reset_takes_nothing() -> None:
    def reset(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(reset) as port, closing(complete(Narrow(port).dial(), Interrupt())) as connection:
        select.select([connection], [], [], PATIENCE)
        with pytest.raises(ConnectionEnded, match=os.strerror(errno.ECONNRESET)):
            connection.send(b"x")


class Narrow(Dialer):
    """Makes connections that take only a little at once."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)

    def dial(self) -> Task[Connection]:
        yield from ()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.connect(self._address)
        return Connection(sock, HostPort(*self._address), 0, None)


@pytest.fixture
def narrow() -> Iterator[Run]:
    """Return a run whose probes go out in pieces."""

    def answer_lines(client: socket.socket) -> None:
        for line in client.makefile("rb"):
            client.sendall(b"[1] " + line)

    with serving(answer_lines) as port:
        summary = Summary(HostPort("127.0.0.1", port), Thresholds({}, {}))
        yield Run(Narrow(port), Probes(LARGEST), 30 * SECOND, Outputs([]), Interrupt(), summary)


def test_a_probe_that_goes_out_in_pieces_is_answered(narrow: Run) -> None:
    before = time.process_time()
    complete(Steady(narrow, SECOND // 1000, 3).run(reconnect=False, once=True), narrow.interrupt)
    counts = narrow.summary.counts
    assert (counts.answered, counts.sent) == (3, 3)
    assert time.process_time() - before < 5  # it waits, and does not spin


def test_a_flood_of_probes_that_go_out_in_pieces_is_answered(narrow: Run) -> None:
    Flood(narrow, SECOND // 10, lambda elapsed: None).run(2)
    assert narrow.summary.counts.answered == narrow.summary.counts.sent >= 2


def test_other_systems_tell_nothing_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as sock:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert tcp_info(sock) is None
        connection = Connection(sock, HostPort("host", 1), 0, None)
        assert (connection.update_tcp_info(), connection.tcp_info) == (0, None)
