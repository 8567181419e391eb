"""The lines about connections that open and end."""

from __future__ import annotations

import pytest
from fakes import NOW, Service, connect
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent

from tsserv.connections.accesslog import LOGGED_ENDS, AccessLog


class Seen:
    """One connection, as the log sees it."""

    host = "192.0.2.1"
    port: int | None = 4711
    opened_at = 0.0
    chunks = 2
    received = 10
    sent = 64
    reason = "idle"


@pytest.mark.parametrize(
    ("choice", "events"),
    [("both", ["open", "close"]), ("open", ["open"]), ("close", ["close"]), ("none", [])],
)
def test_logs_the_ends_that_it_is_asked_for(choice: str, events: list[str]) -> None:
    seen: list[LogEvent] = []
    log = AccessLog(Clock(), *LOGGED_ENDS[choice], observer=seen.append)
    log.opened(Seen())
    log.ended(Seen(), 0)
    log.flush()
    assert [event["event"] for event in seen] == events


def test_lines_are_held_back_for_a_tenth_of_a_second_and_have_the_time_of_the_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[LogEvent] = []
    clock = Clock()
    monkeypatch.setattr("time.time", clock.seconds)
    log = AccessLog(clock, observer=seen.append)
    record = Seen()
    log.opened(record)
    clock.advance(0.0625)
    log.ended(record, 4)
    assert seen == []
    clock.advance(0.0625)
    assert [event["log_time"] for event in seen] == [0, 0.0625]
    assert [formatEvent(event) for event in seen] == [
        "...connected from: 192.0.2.1",
        "...closed: 192.0.2.1 port 4711, 10 bytes in, 60 bytes out, chunks: 2, 0.062 s, idle",
    ]
    log.opened(record)
    clock.advance(0.125)
    assert len(seen) == 3
    assert clock.getDelayedCalls() == []


def test_no_more_than_a_hundred_lines_are_held_back() -> None:
    seen: list[LogEvent] = []
    clock = Clock()
    log = AccessLog(clock, observer=seen.append)
    for count in range(1, 251):
        log.opened(Seen())
        assert len(seen) == count // 100 * 100
        assert len(clock.getDelayedCalls()) == (count % 100 > 0)
    clock.advance(0.1)
    assert len(seen) == 250
    assert clock.getDelayedCalls() == []


def test_a_connection_that_has_sent_nothing_leaves_no_line_at_its_end(logged: list[str]) -> None:
    service = Service(log_connections="both")
    client = connect(service)
    client.socket.ended = True
    service.run(1)
    assert client.socket.closed
    assert logged == ["...connected from: 192.0.2.1"]


@pytest.mark.parametrize(
    "way", ["ended by the client", "idle", "stalled", "connection lost", "service stopped"]
)
def test_says_why_a_connection_has_ended(way: str, logged: list[str]) -> None:
    service = Service(idle_timeout=5, stall_timeout=5, log_connections="both")
    client = connect(service)
    client.socket.room = 10 if way in ("stalled", "connection lost") else 100
    client.socket.inbox.append(b"x")
    service.run()
    if way == "service stopped":
        service.stop()
    client.socket.ended = way == "ended by the client"
    client.socket.broken = way == "connection lost"
    service.run(10)
    assert client.socket.closed
    sent = len(client.socket.taken)
    assert sent == (10 if way in ("stalled", "connection lost") else len(NOW) + 1)
    [line] = [line for line in logged if "closed: 192.0.2.1" in line]
    assert f" 1 bytes in, {sent} bytes out, chunks: 1, " in line
    assert line.endswith(f" s, {way}")
