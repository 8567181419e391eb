"""Idle and stalled connections, and how the last ones end, on a clock that the test sets."""

from __future__ import annotations

import pytest
from fakes import NOW, Service, connect, ends
from twisted.internet.defer import Deferred

LATEST = 1.25 + 0.125  # of a timeout: when at the latest it is noticed, and a step of Service.run


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(logged: list[str]) -> None:
    service = Service(idle_timeout=8.0)
    idle, busy = connect(service), connect(service)
    idle.socket.inbox.append(b"x")
    for _ in range(7):
        busy.socket.inbox.append(b"x")
        service.run(1)
    assert ends(idle) == [None]
    for _ in range(4):
        busy.socket.inbox.append(b"x")
        service.run(1)
    assert ends(idle, busy) == ["orderly", None]
    busy.socket.broken = True
    service.run(30)
    assert logged == [
        "closing connections that have sent nothing for 8 s (--idle-timeout)",
        "idle connections closed: 1",
    ]


def test_one_that_never_sent_anything_is_idle_too() -> None:
    service = Service(idle_timeout=8.0)
    client = connect(service)
    service.run(8)
    assert ends(client) == [None]
    service.run(8 * (LATEST - 1))
    assert ends(client) == ["orderly"]


def test_a_slow_reader_is_not_idle() -> None:
    service = Service(idle_timeout=8.0)
    client = connect(service)
    client.socket.room = 0
    client.socket.inbox += [b"x" * 65536] * 2
    for _ in range(100):
        service.run(1)
        client.socket.room += 1000
    assert ends(client) == [None]
    client.socket.room = 1 << 30
    service.run(8 * LATEST)
    assert client.socket.taken == (NOW + b"x" * 65536) * 2
    assert ends(client) == ["orderly"]


def test_one_that_takes_no_answers_is_aborted_and_one_that_takes_some_is_not(logged: list[str]) -> None:
    service = Service(stall_timeout=8.0)
    stalled, slow, quiet = connect(service), connect(service), connect(service)
    for client in (stalled, slow):
        client.socket.room = 0
        client.socket.inbox.append(b"x" * 1000)
    for _ in range(7):
        service.run(1)
        slow.socket.room += 1
    assert ends(stalled) == [None]
    for _ in range(200):
        service.run(1)
        slow.socket.room += 1
    assert ends(stalled, slow, quiet) == ["reset", None, None]
    assert len(service.connections) == 2
    assert logged == [
        "aborting connections that have read less than 16 KiB of their answers in 8 s (--stall-timeout)",
        "stalled connections aborted: 1",
    ]


def test_one_that_goes_on_sending_but_takes_nothing_is_stalled() -> None:
    service = Service(stall_timeout=8.0)
    client = connect(service)
    client.socket.room = 0
    for _ in range(10):
        client.socket.inbox.append(b"x")
        service.run(1)
    assert ends(client) == ["reset"]


def test_one_that_takes_and_sends_as_much_is_not_stalled() -> None:
    service = Service(stall_timeout=8.0)
    client = connect(service)
    client.socket.room = 0
    client.socket.inbox.append(b"x" * 73)
    for _ in range(100):
        service.run(1)
        client.socket.inbox.append(b"x" * 73)
        client.socket.room += 100
    assert ends(client) == [None]


def test_a_half_closed_one_can_stall_too() -> None:
    service = Service(stall_timeout=8.0)
    client = connect(service)
    client.socket.room = 0
    client.socket.inbox.append(b"x")
    client.socket.ended = True
    service.run(8 * LATEST)
    assert ends(client) == ["reset"]


def test_without_timeouts_there_is_no_timer() -> None:
    service = Service()
    connect(service)
    assert service.reactor.getDelayedCalls() == []


def test_one_timer_serves_all() -> None:
    service = Service(idle_timeout=8.0, stall_timeout=60.0)
    for _ in range(100):
        connect(service)
    assert len(service.reactor.getDelayedCalls()) == 1


@pytest.mark.parametrize("part", ["watch", "drain"])
def test_a_connection_that_cannot_be_checked_does_not_keep_others_from_it(
    part: str, logged: list[str]
) -> None:
    service = Service(idle_timeout=8.0, drain_timeout=60.0)
    broken, idle = connect(service), connect(service)
    del broken.protocol.received_before
    if part == "drain":
        service.stop()
    service.run(8 * LATEST)
    assert ends(broken, idle) == [None, "orderly"]
    broken.protocol.received_before = -1  # from now on it can be checked
    service.run(8 * LATEST)
    assert ends(broken) == ["orderly"]
    assert "Unhandled error in <tsserv.protocol.TimestampProtocol" in "".join(logged)


def stop(service: Service) -> Deferred[None]:
    """Stop the service as its parent does."""
    return service.stop()


def test_stopping_with_nobody_there_is_done_at_once(logged: list[str]) -> None:
    service = Service(idle_timeout=8.0, drain_timeout=5.0)
    assert stop(service).called
    assert service.reactor.getDelayedCalls() == []
    assert logged == []


def test_stopping_serves_on_until_a_connection_is_quiet_for_a_second() -> None:
    service = Service(drain_timeout=60.0)
    client = connect(service)
    done = stop(service)
    for _ in range(10):
        client.socket.inbox.append(b"x")
        service.run(0.75)
    assert client.socket.taken == (NOW + b"x") * 10
    assert ends(client) == [None]
    service.run(1.25)
    assert ends(client) == ["orderly"]
    assert done.called
    assert service.reactor.getDelayedCalls() == []


def test_stopping_lets_clients_end_it_themselves() -> None:
    service = Service(drain_timeout=60.0)
    client, other = connect(service), connect(service)
    done = stop(service)
    client.socket.inbox.append(b"x")
    client.socket.ended = other.socket.ended = True
    service.run()
    assert client.socket.taken == NOW + b"x"
    assert done.called


def test_stopping_waits_for_what_is_unsent() -> None:
    service = Service(drain_timeout=60.0)
    client = connect(service)
    client.socket.room = 0
    client.socket.inbox += [b"x" * 65536] * 3
    service.run()
    done = stop(service)
    service.run(20)
    assert ends(client) == [None]
    client.socket.room = 1 << 30
    service.run(2)
    assert client.socket.taken == (NOW + b"x" * 65536) * 3
    assert ends(client) == ["orderly"]
    assert done.called


def test_the_drain_timeout_aborts_what_is_left_and_says_how_many(logged: list[str]) -> None:
    service = Service(drain_timeout=5.0)
    clients = [connect(service) for _ in range(3)]
    for client in clients:
        client.socket.room = 0
        client.socket.inbox.append(b"x")
    service.run()
    done = stop(service)
    service.run(4.75)
    assert not done.called
    service.run(0.5)
    assert done.called
    assert ends(*clients) == ["reset"] * 3
    assert logged == [
        "waiting up to 5 s for 3 connections",
        "connections aborted before they had finished: 3",
    ]


def test_hurrying_ends_the_wait_at_once(logged: list[str]) -> None:
    service = Service(drain_timeout=60.0)
    client = connect(service)
    done = stop(service)
    service.connections.abort()
    service.run()
    assert done.called
    assert ends(client) == ["reset"]
    service.connections.abort()
    assert logged[-1] == "connections aborted before they had finished: 1"


@pytest.mark.parametrize(
    ("idle", "stall", "line"),
    [(8.0, 0.0, "idle connections closed: 1"), (0.0, 8.0, "stalled connections aborted: 1")],
)
def test_counts_not_yet_logged_are_logged_at_the_end(
    idle: float, stall: float, line: str, logged: list[str]
) -> None:
    service = Service(idle_timeout=idle, stall_timeout=stall)
    client = connect(service)
    client.socket.inbox.append(b"x")
    client.socket.room = 0 if stall else 100
    service.run(8 * LATEST + 1)
    assert stop(service).called
    assert logged[-1] == line
