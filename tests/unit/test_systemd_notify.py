"""What systemd is told, by a socket that stands for it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from tsserv.ops.systemd import Notifier

ALIVE = "WATCHDOG=1\nSTATUS=connections: 0"


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return a NOTIFY_SOCKET and the end that hears what is sent to it."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@tsserv-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(name.replace("@", "\0"))
        end.setblocking(False)
        yield name, end


@pytest.fixture
def notifier() -> Iterator[Callable[..., Notifier]]:
    """Return what makes a notifier, of a service without connections unless told otherwise."""
    made = []

    def make(
        clock: Clock,
        connections: Callable[[], int] = lambda: 0,
        delayed: Callable[[], bool] = lambda: False,
        **environ: str,
    ) -> Notifier:
        made.append(Notifier(clock, connections, environ, delayed=delayed))
        return made[-1]

    yield make
    for one in made:
        if one._socket is not None:
            one._socket.close()


def heard(end: socket.socket) -> list[str]:
    """Return what has been sent since the last time."""
    messages = []
    while True:
        try:
            messages.append(end.recv(4096).decode())
        except BlockingIOError:
            return messages


def fill(name: str) -> None:
    """Leave no room for another message."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, suppress(BlockingIOError):
        while True:
            other.sendto(b"of another service", socket.MSG_DONTWAIT, name.replace("@", "\0"))


def ours(messages: list[str]) -> list[str]:
    """Return the messages that :func:`fill` has not sent."""
    return [message for message in messages if message != "of another service"]


def test_says_that_it_is_ready_alive_and_stopping(
    systemd: tuple[str, socket.socket], logged: list[str], notifier: Callable[..., Notifier]
) -> None:
    name, end = systemd
    clock = Clock()
    count = [1]
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}
    service = notifier(clock, lambda: count[0], **environ)
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
    assert [message.partition("\n")[0] for message in heard(end)] == ["STOPPING=1"]
    clock.advance(2)
    assert heard(end)[0].startswith("WATCHDOG=1\nSTATUS=connections: 7")


def test_time_is_asked_for_while_connections_finish(
    systemd: tuple[str, socket.socket], notifier: Callable[..., Notifier]
) -> None:
    name, end = systemd
    clock = Clock()
    count = [1]
    service = notifier(clock, lambda: count[0], NOTIFY_SOCKET=name)
    service.startService()
    assert not any("EXTEND" in message for message in heard(end))
    service.stopService()
    more = "\nEXTEND_TIMEOUT_USEC=15000000"
    assert heard(end) == ["STOPPING=1" + more]
    for _ in range(3):
        clock.advance(5)
        assert heard(end) == ["WATCHDOG=1\nSTATUS=connections: 1" + more]
    count[0] = 0
    clock.advance(5)
    assert heard(end) == [ALIVE]


def test_time_is_asked_for_during_a_delay_without_connections(
    systemd: tuple[str, socket.socket], notifier: Callable[..., Notifier]
) -> None:
    name, end = systemd
    clock = Clock()
    service = notifier(clock, delayed=lambda: True, NOTIFY_SOCKET=name)
    service.startService()
    service.stopService()
    heard(end)
    clock.advance(5)
    assert heard(end) == [ALIVE + "\nEXTEND_TIMEOUT_USEC=15000000"]


@pytest.mark.parametrize(
    ("watchdog", "interval"),
    [
        ({}, 5),
        ({"WATCHDOG_USEC": "0"}, 5),
        ({"WATCHDOG_USEC": "60000000"}, 5),
        ({"WATCHDOG_USEC": "9" * 18}, 5),
        ({"WATCHDOG_USEC": "9" * 5000}, 5),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, 5),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "x"}, 5),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": ""}, 1),
        ({"WATCHDOG_USEC": "1"}, 0.1),
        ({"WATCHDOG_USEC": ""}, 5),
        ({"WATCHDOG_USEC": "abc"}, 5),
        ({"WATCHDOG_USEC": "-2000000"}, 5),
        ({"WATCHDOG_USEC": "1e6"}, 5),
    ],
)
def test_signs_of_life_are_as_far_apart_as_systemd_says_and_at_most_5_seconds(
    watchdog: dict[str, str],
    interval: float,
    systemd: tuple[str, socket.socket],
    notifier: Callable[..., Notifier],
) -> None:
    name, end = systemd
    clock = Clock()
    notifier(clock, NOTIFY_SOCKET=name, **watchdog).startService()
    heard(end)
    clock.advance(interval * 0.9)
    assert heard(end) == []
    clock.advance(interval * 0.101)
    assert heard(end) == [ALIVE]


def test_says_when_it_reloads_and_when_that_is_done(
    systemd: tuple[str, socket.socket], notifier: Callable[..., Notifier]
) -> None:
    name, end = systemd
    seen: list[str] = []
    service = notifier(Clock(), NOTIFY_SOCKET=name)
    service.reload(lambda: seen.extend(heard(end)), lambda: seen.append("second"))
    assert seen[0].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert seen[0].rpartition("=")[2].isdigit()
    assert (seen[1:], heard(end)) == (["second"], ["READY=1"])


def test_a_reload_ends_whatever_a_step_raises(
    systemd: tuple[str, socket.socket], notifier: Callable[..., Notifier], logged: list[str]
) -> None:
    name, end = systemd
    seen: list[str] = []

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    notifier(Clock(), NOTIFY_SOCKET=name).reload(fail, lambda: seen.append("second"))
    assert (seen, heard(end)[1:]) == (["second"], ["READY=1"])
    assert logged[0].startswith("Cannot reload everything: <function ")


def test_without_systemd_nothing_is_told_and_nothing_runs(notifier: Callable[..., Notifier]) -> None:
    clock = Clock()
    service = notifier(clock)
    service.startService()
    service.reload()
    service.stopService()
    assert clock.getDelayedCalls() == []


def test_states_are_repeated_in_order_until_they_are_sent(
    systemd: tuple[str, socket.socket], notifier: Callable[..., Notifier], logged: list[str]
) -> None:
    name, end = systemd
    clock = Clock()
    service = notifier(clock, NOTIFY_SOCKET=name)
    fill(name)
    service.startService()
    for _ in range(3):
        service.reload()
        clock.advance(5)
    assert [line for line in logged if "systemd" in line] == [
        f"Cannot notify systemd at NOTIFY_SOCKET={name!r}: {os.strerror(errno.EAGAIN)}; "
        "trying again every 5 s"
    ]
    assert ours(heard(end)) == []
    service.stopService()
    clock.advance(5)
    told = [message.partition("\n")[0] for message in ours(heard(end))]
    assert told == ["RELOADING=1", "READY=1", "STOPPING=1", "WATCHDOG=1"]
    clock.advance(5)
    assert len(heard(end)) == 1


def test_readiness_that_cannot_be_told_at_once_is_told_later(
    systemd: tuple[str, socket.socket], notifier: Callable[..., Notifier]
) -> None:
    name, end = systemd
    clock = Clock()
    fill(name)
    notifier(clock, NOTIFY_SOCKET=name).startService()
    assert ours(heard(end)) == []
    clock.advance(5)
    assert heard(end) == ["READY=1", ALIVE]


def test_that_nobody_is_there_is_one_line(logged: list[str], notifier: Callable[..., Notifier]) -> None:
    clock = Clock()
    service = notifier(clock, NOTIFY_SOCKET="/nowhere/notify")
    service.startService()
    for _ in range(10):
        clock.advance(5)
    service.stopService()
    assert logged[1:] == [
        "Cannot notify systemd at NOTIFY_SOCKET='/nowhere/notify': No such file or directory; "
        "trying again every 5 s"
    ]


def test_a_socket_that_cannot_be_made_ends_no_signs_of_life(
    systemd: tuple[str, socket.socket],
    notifier: Callable[..., Notifier],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, end = systemd
    clock = Clock()
    calls: list[int] = []

    def fail_three_times(*arguments: int) -> socket.socket:
        calls.append(1)
        if len(calls) <= 3:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(*arguments)

    real = socket.socket
    monkeypatch.setattr(socket, "socket", fail_three_times)
    notifier(clock, NOTIFY_SOCKET=name).startService()
    for _ in range(3):
        clock.advance(5)
    assert heard(end) == ["READY=1", ALIVE, ALIVE, ALIVE]
    assert len(calls) == 4


def test_no_exception_ends_the_signs_of_life(
    systemd: tuple[str, socket.socket], notifier: Callable[..., Notifier]
) -> None:
    name, end = systemd
    clock = Clock()
    counts = iter([0, None, 0])

    def count() -> int:
        number = next(counts)
        if number is None:
            raise RuntimeError("no number")
        return number

    notifier(clock, count, NOTIFY_SOCKET=name).startService()
    with pytest.raises(RuntimeError):
        clock.advance(5)
    clock.advance(5)
    assert heard(end) == ["READY=1", ALIVE, ALIVE]
