"""The clock of a reactor."""

from __future__ import annotations

import time

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock

from tsserv.net.clock import measure_with_monotonic_clock


class Reactor(ReactorBase):
    """One of Twisted's reactors, without a way to wake it up."""

    def installWaker(self) -> None:
        pass


def test_the_wall_clock_moves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"wall": 1e9, "monotonic": 50.0}
    monkeypatch.setattr(ReactorBase, "seconds", lambda reactor: now["wall"])
    monkeypatch.setattr(time, "monotonic", lambda: now["monotonic"])
    reactor = Reactor()
    called: list[str] = []
    reactor.callLater(10, called.append, "scheduled before")
    put_off = reactor.callLater(10, called.append, "put off")
    measure_with_monotonic_clock(reactor)
    assert reactor.seconds() == 1e9
    reactor.callLater(10, called.append, "scheduled after")
    now["wall"] += 3600
    put_off.reset(20)
    now["monotonic"] += 9
    reactor.runUntilCurrent()
    assert called == []
    assert reactor.timeout() == 1
    now["wall"] -= 7200
    now["monotonic"] += 1
    reactor.runUntilCurrent()
    assert called == ["scheduled before", "scheduled after"]
    now["monotonic"] += 10
    reactor.runUntilCurrent()
    assert called[2:] == ["put off"]


def test_a_clock_of_a_test_is_left_alone() -> None:
    clock = Clock()
    measure_with_monotonic_clock(clock)
    clock.advance(5)
    assert clock.seconds() == 5
