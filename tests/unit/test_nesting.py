"""Our epoll set waits in place of the reactor's: everything of the reactor's goes on as ever."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from processes import PATIENCE, receive
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from tsserv.net.reactor import EagerReactor

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")


class Does(Protocol):
    """Does what the test says with what it reads, and echoes it."""

    action: Any

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)
        self.action(data)

    def connectionLost(self, reason: object = None) -> None:
        assert self.factory is not None
        self.factory.lost += 1


class Running:
    """A reactor of Twisted's own, an eager one over it, and a client."""

    def __init__(self) -> None:
        from twisted.internet.epollreactor import EPollReactor

        self.real: Any = EPollReactor()
        self.eager = EagerReactor(self.real)
        self.factory = Factory.forProtocol(Does)
        self.factory.lost = 0  # type: ignore[attr-defined]
        self.client = self.listen(self.eager)
        self.late = self.real.callLater(PATIENCE, self.real.crash)

    @property
    def lost(self) -> int:
        """How many connections have ended."""
        return self.factory.lost  # type: ignore[attr-defined,no-any-return]

    def listen(self, reactor: EagerReactor) -> socket.socket:
        """Have a reactor listen, and return a client."""
        port = reactor.listenTCP(0, self.factory, 50, "127.0.0.1")
        return socket.create_connection(("127.0.0.1", port.getHost().port), PATIENCE)

    def run(self, action: Callable[[bytes], object], *, signals: bool = False) -> None:
        """Run until something stops the reactor; ``action`` is for what its connections read."""
        Does.action = staticmethod(action)
        self.real.run(installSignalHandlers=signals)
        assert self.late.active(), "nothing has stopped the reactor"


@pytest.fixture
def running() -> Iterator[Running]:
    """Return a reactor that does not run yet."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}
    running = Running()
    yield running
    running.client.close()
    end_all(running.eager)
    for reader in running.real.removeAll():
        if hasattr(reader, "connectionLost"):
            reader.connectionLost(Failure(ConnectionDone()))
    running.real._poller.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def end_all(reactor: EagerReactor) -> None:
    """End all that a reactor listens to, and all connections."""
    reactor.epoll_set.connectionLost(Failure(ConnectionDone()))


def is_nested(running: Running) -> bool:
    """Return whether our set waits."""
    return "doIteration" in vars(running.real)


def test_ours_waits_until_nothing_is_watched_any_more(running: Running) -> None:
    assert is_nested(running)
    assert running.eager.epoll_set not in running.real.getReaders()
    end_all(running.eager)
    assert not is_nested(running)
    assert running.eager.epoll_set.fileno() == -1


def test_a_handler_that_stops_the_reactor_stops_it_and_ends_every_connection(running: Running) -> None:
    running.client.sendall(b"x")
    running.run(lambda _: running.real.stop())
    assert running.client.recv(9) == b"x"
    assert running.client.recv(9) == b""
    assert running.lost == 1
    assert not is_nested(running)


def test_a_handler_that_crashes_the_reactor_ends_it_at_once(running: Running) -> None:
    running.client.sendall(b"x")
    running.run(lambda _: running.real.crash())
    assert running.lost == 0


def test_timers_that_a_handler_sets_and_moves_fire(running: Running) -> None:
    fired: list[bytes] = []
    moved = running.real.callLater(PATIENCE * 2, running.real.stop)

    def act(data: bytes) -> None:
        running.real.callLater(0.01, fired.append, data)
        moved.reset(0.05)

    running.client.sendall(b"x")
    running.run(act)
    assert fired == [b"x"]


def test_timers_fire_although_a_connection_is_always_ready(running: Running) -> None:
    running.real.callLater(0.05, running.real.stop)
    running.client.sendall(b"x")
    answering = threading.Thread(target=echo, args=[running.client])
    answering.start()
    running.run(lambda _: None)
    answering.join()


def echo(client: socket.socket) -> None:
    """Send back what is received until the end."""
    while data := client.recv(99):
        client.sendall(data)


def test_a_thread_can_call(running: Running) -> None:
    thread = threading.Timer(0.02, running.real.callFromThread, [running.real.stop])
    running.real.callWhenRunning(thread.start)
    running.run(lambda _: None)
    thread.join()


def test_a_signal_stops_it(running: Running) -> None:
    running.client.sendall(b"x")
    running.run(lambda _: os.kill(os.getpid(), signal.SIGTERM), signals=True)
    assert receive(running.client, 1) == b"x"


def test_a_handler_may_have_the_reactor_iterate(running: Running) -> None:
    other = running.listen(running.eager)
    seen: list[bytes] = []

    def act(data: bytes) -> None:
        seen.append(data)
        if data == b"1":
            other.sendall(b"2")
            while b"2" not in seen:
                running.real.iterate(0.01)
            running.real.stop()

    running.client.sendall(b"1")
    running.run(act)
    assert seen == [b"1", b"2"]
    assert receive(other, 1) == b"2"
    other.close()


def test_a_second_one_on_the_same_reactor_is_served_too_and_may_outlive_the_first(running: Running) -> None:
    second = EagerReactor(running.real)
    other = running.listen(second)
    assert second.epoll_set in running.real.getReaders()

    def act(data: bytes) -> None:
        if data == b"1":
            end_all(running.eager)
            other.sendall(b"2")
        else:
            running.real.stop()

    running.client.sendall(b"1")
    running.run(act)
    assert receive(other, 1) == b"2"
    other.close()


def test_a_twisted_without_what_this_needs_is_served_as_any_other_reactor_and_it_is_logged(
    running: Running, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    poller = running.real._poller
    end_all(running.eager)
    monkeypatch.setattr(running.real, "_poller", SimpleNamespace(register=poller.register), raising=True)
    second = EagerReactor(running.real)
    client = running.listen(second)
    monkeypatch.undo()
    assert second.epoll_set in running.real.getReaders()
    assert not is_nested(running)
    assert len([line for line in logged if "EPollReactor" in line]) == 1
    client.sendall(b"x")
    running.run(lambda _: running.real.stop())
    assert receive(client, 1) == b"x"
    client.close()
