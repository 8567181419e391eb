"""The delay before the end."""

from __future__ import annotations

from twisted.internet.task import Clock

from tsserv.connections.drain import Delay


def test_it_puts_off_the_end(logged: list[str]) -> None:
    clock = Clock()
    delay = Delay(clock, 10.0, lambda: True)
    delay.startService()
    assert not delay.waiting
    done = delay.stopService()
    assert done is not None
    clock.advance(9.75)
    assert delay.waiting
    assert not done.called
    clock.advance(0.25)
    assert done.called
    assert not delay.waiting
    assert logged == ["stopping in 10 s (--drain-delay)"]


def test_it_can_be_ended() -> None:
    clock = Clock()
    delay = Delay(clock, 10.0, lambda: True)
    done = delay.stopService()
    assert done is not None
    delay.end()
    assert done.called
    assert not delay.waiting
    assert clock.getDelayedCalls() == []


def test_without_seconds_or_without_a_reason_there_is_none(logged: list[str]) -> None:
    assert Delay(Clock(), 0.0, lambda: True).stopService() is None
    assert Delay(Clock(), 10.0, lambda: False).stopService() is None
    assert logged == []
