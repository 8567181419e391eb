"""What signals do, in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from tsserv.ops.signals import Signals


@implementer(IReactorFromThreads)
class Reactor(MemoryReactorClock):
    """A reactor that takes SIGTERM and SIGINT when it begins to run, as Twisted's do."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped_by: list[int] = []
        #: A signal between the reactor's own handlers and its first call.
        self.signal_between = 0

    def stop_by(self, number: int, frame: FrameType | None) -> None:
        self.stopped_by.append(number)

    def callFromThread(self, callable: Callable[..., object], *arguments: object, **keywords: object) -> None:
        callable(*arguments, **keywords)

    def run(self, takes_sigint: bool = True) -> None:
        """Begin to run."""
        signal.signal(signal.SIGTERM, self.stop_by)
        signal.signal(signal.SIGINT, self.stop_by if takes_sigint else signal.SIG_IGN)
        if self.signal_between:
            signal.raise_signal(self.signal_between)
        for function, arguments, keywords in self.whenRunningHooks:
            function(*arguments, **keywords)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Put the handlers of this process back in the end."""
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


def test_a_signal_while_the_reactor_begins_to_run_is_the_first() -> None:
    reactor, called = start()
    reactor.signal_between = signal.SIGTERM
    reactor.run()
    signal.raise_signal(signal.SIGTERM)
    assert (reactor.stopped_by, called) == ([signal.SIGTERM], ["hurry"])


def start() -> tuple[Reactor, list[str]]:
    """Return a reactor whose signals are taken over, and the list that grows with each call."""
    reactor = Reactor()
    assert IReactorCore.providedBy(reactor)
    called: list[str] = []
    Signals(
        reactor, reload=lambda: called.append("reload"), hurry=lambda: called.append("hurry")
    ).privilegedStartService()
    return reactor, called


def test_the_first_signal_is_the_reactors_and_the_next_ones_hurry() -> None:
    reactor, called = start()
    reactor.run()
    signal.raise_signal(signal.SIGTERM)
    assert (reactor.stopped_by, called) == ([signal.SIGTERM], [])
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert (reactor.stopped_by, called) == ([signal.SIGTERM], ["hurry"] * 2)


def test_a_sigterm_before_the_reactor_runs_stops_it_when_it_does() -> None:
    reactor, called = start()
    signal.raise_signal(signal.SIGTERM)
    assert reactor.stopped_by == []
    reactor.run()
    assert (reactor.stopped_by, called) == ([signal.SIGTERM], [])


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As a shell has its background jobs ignore SIGINT, which Twisted leaves at that."""
    reactor, called = start()
    reactor.run(takes_sigint=False)
    signal.raise_signal(signal.SIGINT)
    assert (reactor.stopped_by, called) == ([], [])


def test_each_sighup_reloads_even_before_the_reactor_runs() -> None:
    reactor, called = start()
    signal.raise_signal(signal.SIGHUP)
    reactor.run()
    signal.raise_signal(signal.SIGHUP)
    assert called == ["reload"] * 2
