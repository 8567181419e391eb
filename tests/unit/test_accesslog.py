"""The lines about connections that open and end."""

from __future__ import annotations

import json
from collections import Counter
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakes import NOW, Service, connect
from twisted.internet.task import Clock
from twisted.logger import (
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    Logger,
    LogPublisher,
    globalLogPublisher,
    textFileLogObserver,
)
from twisted.python.syslog import SyslogObserver

from tsserv.connections.accesslog import LINES_A_SECOND, LOGGED_ENDS, AccessLog
from tsserv.ops.logfile import FORMATS, as_text


def connection(opened_at: float = 0.0) -> Any:  # noqa: ANN401 (the part of a connection that the log sees)
    """Return a connection of 192.0.2.1."""
    return SimpleNamespace(
        host="192.0.2.1", port=4711, opened_at=opened_at, chunks=2, received=10, sent=64, reason="idle"
    )


def texts(events: list[LogEvent]) -> list[str]:
    """Return events as text, without their time."""
    return [as_text(event).split(" ", 1)[1].rstrip("\n") for event in events]


@pytest.mark.parametrize(
    ("choice", "events"),
    [("both", ["open", "close"]), ("open", ["open"]), ("close", ["close"]), ("none", [])],
)
def test_logs_the_ends_that_it_is_asked_for(choice: str, events: list[str]) -> None:
    seen: list[LogEvent] = []
    log = AccessLog(Clock(), LOGGED_ENDS[choice], [seen.extend])
    log.opened(connection())
    log.ended(connection(), 0)
    log.flush()
    assert [event["event"] for event in seen] == events


def test_lines_are_held_back_for_a_tenth_of_a_second_and_have_the_time_of_the_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[LogEvent] = []
    clock = Clock()
    monkeypatch.setattr("time.time", clock.seconds)
    log = AccessLog(clock, logs=[seen.extend])
    record = connection()
    log.opened(record)
    clock.advance(0.0625)
    log.ended(record, 4)
    assert seen == []
    clock.advance(0.0625)
    assert [event["log_time"] for event in seen] == [0, 0.0625]
    assert texts(seen) == [
        "[tsserv#info] ...connected from: 192.0.2.1",
        "[tsserv#info] ...closed: 192.0.2.1 port 4711, 10 bytes in, 60 bytes out, chunks: 2, 0.062 s, idle",
    ]
    log.opened(record)
    clock.advance(0.125)
    assert len(seen) == 3
    assert clock.getDelayedCalls() == []


def test_no_more_than_a_hundred_lines_are_held_back() -> None:
    seen: list[LogEvent] = []
    clock = Clock()
    log = AccessLog(clock, logs=[seen.extend])
    for count in range(1, 251):
        log.opened(connection())
        assert len(seen) == count // 100 * 100
        assert len(clock.getDelayedCalls()) == 1
    clock.advance(0.1)
    assert len(seen) == 250
    assert clock.getDelayedCalls() == []


def test_all_logs_get_all_lines_as_one_batch() -> None:
    batches: list[list[str]] = []
    log = AccessLog(Clock(), logs=[lambda events: batches.append(texts(list(events)))] * 2)
    log.opened(connection())
    log.opened(connection())
    log.flush()
    log.flush()
    assert batches == [["[tsserv#info] ...connected from: 192.0.2.1"] * 2] * 2


def test_without_batches_each_log_of_twistd_gets_a_line_for_each_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to_syslog: list[str] = []
    monkeypatch.setattr(SyslogObserver, "openlog", lambda *options: None)
    monkeypatch.setattr(SyslogObserver, "syslog", lambda self, priority, text: to_syslog.append(text))
    to_file = StringIO()
    legacy: Any = SyslogObserver("twisted").emit
    observers = [textFileLogObserver(to_file), LegacyLogObserverWrapper(legacy)]
    for observer in observers:
        globalLogPublisher.addObserver(observer)
    log = AccessLog(Clock())
    log.opened(connection())
    log.ended(connection(), 0)
    log.flush()
    for observer in observers:
        globalLogPublisher.removeObserver(observer)
    lines = [
        "...connected from: 192.0.2.1",
        "...closed: 192.0.2.1 port 4711, 10 bytes in, 64 bytes out, chunks: 2, 0.000 s, idle",
    ]
    assert to_syslog == [f"[-] {line}" for line in lines]
    found = [line.split(" ", 1)[1] for line in to_file.getvalue().splitlines()]
    assert found == [f"[tsserv#info] {line}" for line in lines]


def test_lines_come_before_whatever_is_logged_after_them() -> None:
    publisher = LogPublisher()
    seen: list[LogEvent] = []
    log = AccessLog(Clock(), logs=[seen.extend])
    publisher.addObserver(log)
    publisher.addObserver(cast(ILogObserver, seen.append))
    for number in range(3):
        log.opened(connection())
        Logger("tsserv", observer=publisher).info("{number}", number=number)
    assert [event.get("number", "open") for event in seen] == ["open", 0, "open", 1, "open", 2]


def test_lines_up_to_the_rate_are_all_logged() -> None:
    seen: list[LogEvent] = []
    clock = Clock()
    log = AccessLog(clock, logs=[seen.extend])
    for number in range(1, 121):
        for _ in range(LINES_A_SECOND // 4):
            log.opened(connection(clock.seconds()))
            log.ended(connection(), 0)
        clock.advance(0.5)
        assert len(seen) == number * LINES_A_SECOND // 2
    assert {event["event"] for event in seen} == {"open", "close"}


def test_lines_above_the_rate_are_counted_by_kind() -> None:
    seen: list[LogEvent] = []
    log = AccessLog(Clock(), logs=[seen.extend])
    for _ in range(4 * LINES_A_SECOND):
        log.opened(connection())
        log.ended(connection(), 0)
        log.ended(connection(), 0)
    log.flush()
    written = Counter(event["event"] for event in seen)
    assert written["open"] + written["close"] == pytest.approx(10 * LINES_A_SECOND, abs=1)
    [counted] = [event for event in seen if event["event"] == "counted"]
    assert counted["open"] == 4 * LINES_A_SECOND - written["open"]
    assert counted["close"] == 8 * LINES_A_SECOND - written["close"]
    assert texts([counted]) == [
        "[tsserv#warn] more than 1000 lines a second about connections; without a line: "
        f"{counted['open']} opened, {counted['close']} closed"
    ]
    fields = json.loads(FORMATS["json"](counted))
    del fields["time"]
    assert fields == {"event": "counted", "open": counted["open"], "close": counted["close"]}


def test_a_flood_is_bounded_and_every_connection_is_a_line_or_counted() -> None:
    seen: list[LogEvent] = []
    clock = Clock()
    log = AccessLog(clock, logs=[seen.extend])
    for _ in range(300):
        for _ in range(500):
            log.opened(connection(clock.seconds()))
        clock.advance(0.1)
    log.flush()
    counted = [event["open"] for event in seen if event["event"] == "counted"]
    lines = len(seen) - len(counted)
    assert lines + sum(counted) == 300 * 500
    assert lines == pytest.approx((10 + 30) * LINES_A_SECOND, rel=0.01)
    assert len(counted) <= 2 * 300
    clock.advance(30)
    seen.clear()
    log.opened(connection(clock.seconds()))
    log.flush()
    assert [event["event"] for event in seen] == ["open"]


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
