"""The listeners: real sockets on an eager reactor over a reactor in memory; and descriptions of places."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import pytest
from processes import PATIENCE
from twisted.application.internet import TCPServer
from twisted.application.service import Service
from twisted.internet import tcp, unix
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IReactorCore, IReactorTCP
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import AccumulatingProtocol, MemoryReactorClock
from twisted.python.failure import Failure

from tsserv.net import closing, endpoints
from tsserv.net.endpoints import Place, parse_place, parse_status
from tsserv.net.listeners import CannotStart, EndpointListener, Listener
from tsserv.net.reactor import EagerReactor, PlainReactor
from tsserv.status.site import StatusListener

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")


class FailingReactor(MemoryReactorClock):
    """A reactor that cannot listen."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def listenTCP(self, *arguments: object, **keywords: object) -> None:
        raise self._error


@pytest.fixture
def start() -> Iterator[Callable[[Service], Service]]:
    """Return a function that starts a service, which is stopped in the end."""
    started: list[Service] = []

    def start(service: Service) -> Service:
        service.privilegedStartService()
        service.startService()
        started.append(service)
        return service

    yield start
    for service in started:
        service.stopService()


@pytest.fixture
def reactor() -> Iterator[EagerReactor]:
    """Return an eager reactor over a reactor in memory."""
    reactor = EagerReactor(MemoryReactorClock())
    yield reactor
    reactor.advance(1)  # listeners that have been stopped
    reactor.epoll_set.connectionLost(Failure(ConnectionDone()))


def factory() -> Factory:
    """Return a factory of protocols that do nothing."""
    return Factory.forProtocol(Protocol)


def listener(reactor: object, interface: str = "127.0.0.1", port: int = 4711) -> Listener:
    """Return a listener."""
    return Listener(
        port,
        factory(),
        interface=interface,
        backlog=9,
        socket_buffer=65536,
        reactor=cast(IReactorTCP, reactor),
    )


def endpoint_listener(reactor: object, description: str, socket_buffer: int = 65536) -> EndpointListener:
    """Return a listener on an endpoint."""
    return EndpointListener(
        description, factory(), backlog=9, socket_buffer=socket_buffer, reactor=cast(IReactorCore, reactor)
    )


@pytest.mark.parametrize(("interface", "shown"), [("127.0.0.1", r"127\.0\.0\.1"), ("::1", r"\[::1\]")])
def test_is_a_tcp_server_and_says_where_it_listens(
    interface: str,
    shown: str,
    reactor: EagerReactor,
    start: Callable[[Service], Service],
    logged: list[str],
) -> None:
    service = start(listener(reactor, interface, port=0))
    assert isinstance(service, TCPServer)
    assert re.fullmatch(rf"listening on {shown}:\d+", logged[-1])


def accepted(reactor: EagerReactor) -> tcp.Server:
    """Connect to the listener of ``reactor``; return its end of the connection."""
    [port] = reactor.getReaders()[:1]
    with socket.create_connection(("127.0.0.1", port.getHost().port), PATIENCE):
        reactor.epoll_set.doRead()
    [transport] = [reader for reader in reactor.getReaders() if hasattr(reader, "getTcpNoDelay")]
    assert isinstance(transport, tcp.Server)
    return transport


@pytest.mark.parametrize("listen", ["port", "tcp:0:interface=127.0.0.1", "systemd:domain=INET:index=0"])
def test_connections_take_over_what_the_listener_has_set(
    listen: str,
    reactor: EagerReactor,
    start: Callable[[Service], Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if listen.startswith("systemd"):
        passed = socket.create_server(("127.0.0.1", 0)).detach()  # the listener closes it
        fds = Mock(inheritedDescriptors=lambda: [passed])
        monkeypatch.setattr("tsserv.net.endpoints._SOCKETS", fds)
    start(listener(reactor, port=0) if listen == "port" else endpoint_listener(reactor, listen))
    transport = accepted(reactor)
    assert transport.getTcpNoDelay()
    assert transport.getTcpKeepAlive()
    assert transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE)
    assert transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 65536
    assert transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 32768


def test_without_a_size_the_system_decides_about_socket_buffers(
    reactor: EagerReactor, start: Callable[[Service], Service]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        usual = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    start(endpoint_listener(reactor, "tcp:0:interface=127.0.0.1", socket_buffer=0))
    assert accepted(reactor).socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == usual


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
    message = f"{os.strerror(errno.EADDRINUSE)}: cannot listen on {shown}"
    assert str(caught.value) == message
    assert caught.value.code == 1
    assert logged == [message]
    assert terminal.getvalue() == message + "\n"


@pytest.mark.parametrize(
    ("description", "backlog"),
    [("tcp:0:interface=127.0.0.1", 9), ("tcp:0:interface=127.0.0.1:backlog=3", 3)],
)
def test_as_many_may_wait_as_the_description_or_else_the_option_says(
    description: str,
    backlog: int,
    reactor: EagerReactor,
    start: Callable[[Service], Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(socket.socket, "listen", lambda _, backlog: asked.append(backlog))
    start(endpoint_listener(reactor, description))
    assert asked[-1] == backlog


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("tcp:x", "not an endpoint: invalid literal for int() with base 10: 'x'"),
        ("tcp", "not an endpoint: missing 1 required positional argument: 'port'"),
        ("tcp:1:speed=9", "not an endpoint: got an unexpected keyword argument 'speed'"),
        *(
            (place, "not an endpoint of one of these kinds: tcp, tcp6, unix, systemd")
            for place in ("pigeon:1", "stdio:", "fd:fileno=0", "", "21567")
        ),
        *(
            (
                place,
                r"not an endpoint: has too many parts; a colon in a value is written \: as in tcp6:21567:",
            )
            for place in ("tcp:0:interface=::1", "tcp6:0:interface=2001:db8::5", "unix:a:b:c:d:e")
        ),
        ("systemd:domain=INET:index=0", "systemd has not passed it; it has passed nothing"),
        ("ssl:443", "Twisted's ssl: loses answers to clients that half-close; use tls+tcp:"),
        ("haproxy:tcp:1", "Twisted's haproxy: loses answers to clients that half-close; use proxy+tcp:"),
    ],
)
def test_a_description_that_is_wrong_is_said_to_be(description: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_place(description)


def test_a_description_says_what_comes_before_the_service() -> None:
    assert parse_place("tcp:0") == Place(proxy=False, tls=False, endpoint="tcp:0")
    assert parse_place("proxy+unix:proxy+sock") == Place(proxy=True, tls=False, endpoint="unix:proxy+sock")
    assert parse_place("proxy+tls+tcp6:0") == Place(proxy=True, tls=True, endpoint="tcp6:0")
    with pytest.raises(ValueError, match="not an endpoint of one of these kinds"):
        parse_place("proxy+proxy+tcp:0")


def test_an_endpoint_is_checked_without_listening(tmp_path: Path) -> None:
    parse_place(f"unix:{tmp_path}/sock")
    assert not list(tmp_path.iterdir())


def test_a_socket_of_systemds_is_taken_by_its_name_and_family_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        fd = passed.fileno()
        monkeypatch.setattr("tsserv.net.endpoints._SOCKETS", Mock(inheritedDescriptors=lambda: [fd]))
        monkeypatch.setattr("tsserv.net.endpoints._INDEX", {"web": 0})
        endpoint = "systemd:domain=INET:index=0"
        assert parse_place("tls+systemd:domain=INET:name=web") == Place(
            proxy=False, tls=True, endpoint=endpoint, passed=fd
        )
        with pytest.raises(ValueError, match=r"its domain is INET$"):
            parse_place("systemd:domain=INET6:index=0")
        with pytest.raises(ValueError, match=r"systemd has not passed it; it has passed web$"):
            parse_place("systemd:domain=INET:name=mail")


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ("LISTEN_PID=this\0LISTEN_FDS=2\0LISTEN_FDNAMES=web:mail\0", {"web": 0, "mail": 1}),
        ("LISTEN_PID=this\0LISTEN_FDS=2\0LISTEN_FDNAMES=web\0", {"unknown": 1}),
        ("LISTEN_PID=this\0LISTEN_FDS=1\0", {"unknown": 0}),
        ("LISTEN_PID=this\0LISTEN_FDS=0\0", {}),
        ("LISTEN_PID=this\0LISTEN_FDS=x\0", {}),
        ("LISTEN_PID=1\0LISTEN_FDS=1\0LISTEN_FDNAMES=web\0", {}),
        ("\0HOME\0", {}),
        (None, {}),
    ],
)
def test_names_of_passed_sockets_are_optional(
    variables: str | None, names: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: Path) -> bytes:
        if variables is None:
            raise FileNotFoundError
        return variables.replace("this", str(os.getpid())).encode()

    monkeypatch.setattr(Path, "read_bytes", read)
    sockets, indexes = endpoints._passed()
    assert indexes == names
    assert len(sockets.inheritedDescriptors()) == (max(names.values()) + 1 if names else 0)


def test_every_address_is_both_families_whatever_the_system_prefers(
    reactor: EagerReactor, start: Callable[[Service], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(_: tcp.Port) -> socket.socket:
        made = socket.socket(socket.AF_INET6)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as if net.ipv6.bindv6only=1
        return made

    monkeypatch.setattr(tcp.Port, "createInternetSocket", create)
    start(listener(reactor, "::", port=0))
    [port] = reactor.getReaders()[:1]
    socket.create_connection(("127.0.0.1", port.getHost().port), PATIENCE).close()


class ForIPv6Only(socket.socket):
    """A socket as it is where ``net.ipv6.bindv6only`` is 1."""

    def __init__(self, *arguments: int, **keywords: int) -> None:
        super().__init__(*arguments, **keywords)
        if not keywords and self.family == socket.AF_INET6:
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


class AdoptingReactor(MemoryReactorClock):
    """A reactor that takes over sockets."""

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: object) -> Mock:
        return Mock(socket=socket.socket(fileno=os.dup(fileDescriptor)))


@pytest.mark.parametrize(
    "make",
    [
        lambda reactor: listener(PlainReactor(reactor), "::", port=0),
        lambda reactor: endpoint_listener(PlainReactor(reactor), "tcp6:0"),
        lambda reactor: StatusListener(parse_status(r"tcp6:0:interface=\:\:"), Mock(), reactor),
    ],
    ids=["port", "listen", "status"],
)
def test_without_eager_every_address_is_both_families_too(
    make: Callable[[AdoptingReactor], EndpointListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = make(AdoptingReactor())
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", ForIPv6Only)
        port = listening._getPort()
    with port.socket as made:
        socket.create_connection(("127.0.0.1", made.getsockname()[1]), PATIENCE).close()


@pytest.mark.parametrize("listen", ["listenUNIX", "adoptStreamPort"])
def test_without_eager_a_file_descriptor_that_a_client_passes_is_neither_received_nor_logged(
    listen: str, logged: list[str]
) -> None:
    clock = MemoryReactorClock()
    made = unix.Port(b"sock", factory(), reactor=clock)
    port = getattr(PlainReactor(Mock(**{listen: lambda: made})), listen)()
    server, client = socket.socketpair()
    protocol = AccumulatingProtocol()
    transport = port.transport(server, protocol, b"", port, 0, clock)
    with server, client:
        socket.send_fds(client, [b"x"], [client.fileno()])
        transport.doRead()
    assert protocol.data == b"x"
    assert logged == []


@pytest.mark.parametrize("reason", ["another system", "an error"])
def test_where_the_system_cannot_turn_clients_away_the_listener_closes_at_once(
    reason: str, reactor: EagerReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = listener(reactor, port=0)
    service.privilegedStartService()
    service.startService()
    [port] = reactor.getReaders()[:1]
    address = ("127.0.0.1", port.getHost().port)
    with socket.create_connection(address, PATIENCE) as client:
        if reason == "another system":
            monkeypatch.setattr(sys, "platform", "darwin")
        else:
            monkeypatch.setattr(closing, "_SO_BINDTOIFINDEX", -1)
        service.stopService()
        [transport] = [reader for reader in reactor.getReaders() if hasattr(reader, "getTcpNoDelay")]
        assert transport.getPeer().port == client.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, PATIENCE)


def test_a_plain_reactor_hands_on_what_is_not_its_affair() -> None:
    port = Mock(spec=tcp.Port)
    reactor = PlainReactor(Mock(adoptStreamPort=lambda *arguments: port, seconds=lambda: 7.0))
    assert reactor.seconds() == 7.0
    assert reactor.adoptStreamPort(3, socket.AF_INET, Factory()) is port
    assert not isinstance(getattr(port, "transport", None), type)
