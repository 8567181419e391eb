"""Durations go on when somebody sets the clock."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pytest
from conftest import program
from processes import PATIENCE, Twistd

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is loaded as Linux does it")

REACTORS = ("epoll", "poll", "select", "asyncio")
_HOUR = 3600


class WallClock:
    """The wall clock of processes that run with :attr:`prefix`; their monotonic clock is the real one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)
        # Without the program faketime: two of them at once may get in each other's way.
        root = Path(program("faketime")).resolve().parents[1]
        library = next(root.glob("lib*/**/faketime/libfaketime.so.1"))
        self.prefix = (
            "env",
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "DONT_FAKE_MONOTONIC=1",  # its name in older versions
        )

    def step(self, seconds: int) -> None:
        """Set the clock ahead of the real one by ``seconds``."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        new.rename(self._file)


@pytest.fixture
def wall_clock(tmp_path: Path) -> Iterator[WallClock]:
    """Return a wall clock that the test can set."""
    forget_the_dead()
    yield WallClock(tmp_path / "offset")
    forget_the_dead()


def forget_the_dead() -> None:
    """Remove what libfaketime leaves of ended processes: a new one with such a number would not start."""
    for left in Path("/dev/shm").glob("*faketime_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)


def time_of(client: socket.socket) -> float:
    """Return the time that the service tells, in seconds since 1970."""
    client.sendall(b"x")
    answer = b""
    while not answer.endswith(b"] x"):
        answer += client.recv(100) or pytest.fail("closed")
    return float(answer[1:-3])


@pytest.mark.parametrize("reactor", REACTORS)
def test_a_clock_that_is_set_back_delays_nothing(
    reactor: str, wall_clock: WallClock, serve: Callable[..., Twistd]
) -> None:
    service = serve(
        "--time-format=unix",
        "--idle-timeout=2",
        "--drain-timeout=0.5",
        reactor=reactor,
        prefix=wall_clock.prefix,
    )
    with service.connect() as idle:
        before = time_of(idle)
        wall_clock.step(-_HOUR)
        assert idle.recv(1) == b""
    with service.connect() as draining:
        assert time_of(draining) < before
        service.process.terminate()
        # Not by the log: libfaketime has the service wait too shortly for its last lines to be written.
        with pytest.raises(ConnectionResetError):  # by the drain timeout: it is not idle
            all(map(time_of, repeat(draining)))
        service.process.wait(PATIENCE)


@pytest.mark.parametrize("reactor", REACTORS)
def test_a_clock_that_is_set_forward_ends_nothing(
    reactor: str, wall_clock: WallClock, serve: Callable[..., Twistd]
) -> None:
    service = serve("--time-format=unix", "--idle-timeout=600", reactor=reactor, prefix=wall_clock.prefix)
    with service.connect() as idle, service.connect() as other:
        before = time_of(idle)
        for hours in range(1, 6):
            wall_clock.step(hours * _HOUR)
            assert time_of(other) > before + (hours - 1) * _HOUR
        assert time_of(idle) > before
