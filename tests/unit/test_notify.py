"""What systemd is told, by a socket that stands for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from tsserv.ops.systemd import Notifier


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return a NOTIFY_SOCKET and the end that hears what is sent to it."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@tsserv-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(name.replace("@", "\0"))
        end.setblocking(False)
        yield name, end


def heard(end: socket.socket) -> list[str]:
    """Return what has been sent since the last time."""
    messages = []
    while True:
        try:
            messages.append(end.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_says_that_it_is_ready_alive_and_stopping(
    systemd: tuple[str, socket.socket], logged: list[str]
) -> None:
    name, end = systemd
    clock = Clock()
    count = [1]
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}
    service = Notifier(clock, lambda: count[0], environ)
    service.privilegedStartService()
    assert heard(end) == []
    service.startService()
    assert logged == ["waiting for connection..."]
    assert heard(end) == ["READY=1", "WATCHDOG=1\nSTATUS=connections: 1"]
    clock.advance(1.9)
    assert heard(end) == []
    count[0] = 7
    clock.advance(0.1)
    assert heard(end) == ["WATCHDOG=1\nSTATUS=connections: 7"]
    service.stopService()
    assert heard(end) == ["STOPPING=1"]
    clock.advance(2)
    assert heard(end) == ["WATCHDOG=1\nSTATUS=connections: 7"]


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "60000000"}, {"WATCHDOG_USEC": "2", "WATCHDOG_PID": "1"}],
)
def test_the_number_of_connections_is_never_older_than_5_seconds(
    watchdog: dict[str, str], systemd: tuple[str, socket.socket]
) -> None:
    name, end = systemd
    clock = Clock()
    Notifier(clock, lambda: 0, {"NOTIFY_SOCKET": name, **watchdog}).startService()
    heard(end)
    clock.advance(4.9)
    assert heard(end) == []
    clock.advance(0.1)
    assert heard(end) == ["WATCHDOG=1\nSTATUS=connections: 0"]


def test_says_when_it_reloads_and_when_that_is_done(systemd: tuple[str, socket.socket]) -> None:
    name, end = systemd
    seen: list[str] = []
    service = Notifier(Clock(), lambda: 0, {"NOTIFY_SOCKET": name})
    service.reload(lambda: seen.extend(heard(end)), lambda: seen.append("second"))
    assert seen[0].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert seen[0].rpartition("=")[2].isdigit()
    assert (seen[1:], heard(end)) == (["second"], ["READY=1"])


def test_without_systemd_nothing_is_told_and_nothing_runs() -> None:
    clock = Clock()
    service = Notifier(clock, lambda: 0, {})
    service.startService()
    service.reload()
    service.stopService()
    assert clock.getDelayedCalls() == []


def test_a_systemd_that_does_not_listen_blocks_nothing(
    systemd: tuple[str, socket.socket], logged: list[str]
) -> None:
    name, _ = systemd
    service = Notifier(Clock(), lambda: 0, {"NOTIFY_SOCKET": name})
    while not logged:
        service.stopService()
    assert "Resource temporarily unavailable" in logged[0]


def test_that_systemd_cannot_be_told_is_logged(logged: list[str]) -> None:
    Notifier(Clock(), lambda: 0, {"NOTIFY_SOCKET": "/nowhere/notify"}).stopService()
    assert logged == ["Cannot tell systemd 'STOPPING=1': [Errno 2] No such file or directory"]
