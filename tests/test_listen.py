"""The listener, on a reactor in memory."""

from __future__ import annotations

import errno
import os
import sys
from io import StringIO

import pytest
from twisted.application.internet import TCPServer
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from tsserv.listen import CannotStart, Listener


class FailingReactor(MemoryReactorClock):
    """A reactor that cannot listen."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def listenTCP(self, *arguments: object, **keywords: object) -> None:
        raise self._error


def listener(reactor: MemoryReactorClock, interface: str = "127.0.0.1") -> Listener:
    """Return a listener on port 4711."""
    return Listener(4711, Factory(), interface=interface, backlog=9, reactor=reactor)


def test_is_a_tcp_server_and_says_where_it_listens(logged: list[str]) -> None:
    reactor = MemoryReactorClock()
    service = listener(reactor)
    assert isinstance(service, TCPServer)
    service.privilegedStartService()
    assert logged == []
    service.startService()
    [(port, factory, backlog, interface)] = reactor.tcpServers
    assert (port, type(factory), backlog, interface) == (4711, Factory, 9, "127.0.0.1")
    # MemoryReactor's ports say that they are on 0.0.0.0 whatever they were asked for.
    assert logged == ["listening on 0.0.0.0:4711", "waiting for connection..."]


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize(("interface", "shown"), [("127.0.0.1", "127.0.0.1:4711"), ("::1", "[::1]:4711")])
def test_that_it_cannot_listen_is_one_line(
    wrapped: bool, interface: str, shown: str, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = StringIO()
    monkeypatch.setattr(sys, "__stderr__", terminal)
    error = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    reactor = FailingReactor(CannotListenError(interface, 4711, error) if wrapped else error)
    service = listener(reactor, interface)
    with pytest.raises(CannotStart) as caught:
        service.privilegedStartService()
    message = f"Couldn't listen on {shown}: {os.strerror(errno.EADDRINUSE)}"
    assert str(caught.value) == message
    assert caught.value.code == 1
    assert logged == [message]
    assert terminal.getvalue() == message + "\n"
