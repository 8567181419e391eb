"""The time as bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tsserv.stamp import Stamp


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the process in a time zone that is not UTC."""
    monkeypatch.setenv("TZ", "XYZ-03:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("set_zone")
def test_is_ctime_in_brackets_in_local_time() -> None:
    assert Stamp(lambda: 1795422158.9)() == b"[Mon Nov 23 11:52:38 2026] "


def test_is_27_bytes_for_any_day() -> None:
    for day in range(0, 40 * 365):
        assert len(Stamp(lambda day=day: day * 86400.0)()) == 27  # type: ignore[misc]


def test_changes_with_the_second_and_is_formatted_once_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    formatted: list[float] = []

    def ctime(second: float, ctime: Callable[[float], str] = time.ctime) -> str:
        formatted.append(second)
        return ctime(second)

    monkeypatch.setattr(time, "ctime", ctime)
    now = [100.0]
    stamp = Stamp(lambda: now[0])
    first = stamp()
    now[0] = 100.999
    assert stamp() is first
    now[0] = 101.0
    assert stamp() != first
    now[0] = 100.5  # a clock may be set back
    assert stamp() == first
    assert formatted == [100, 101, 100]


def test_takes_the_system_clock_by_default() -> None:
    before = int(time.time())
    stamp = Stamp()()
    after = int(time.time())
    assert stamp.decode() in [f"[{time.ctime(second)}] " for second in range(before, after + 1)]
