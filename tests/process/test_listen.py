"""The listeners: real sockets on an eager face over a reactor in memory, and real services."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import cast

import pytest
from processes import PASS, PATIENCE, STAMP, Twistd, receive, run_twistd
from twisted.application.internet import TCPServer
from twisted.application.service import Service
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IReactorCore, IReactorTCP
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from tsserv.net.endpoints import check_endpoint, parse_description
from tsserv.net.listeners import CannotStart, EndpointListener, Listener
from tsserv.net.reactor import EagerReactor

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
def face() -> Iterator[EagerReactor]:
    """Return an eager face over a reactor in memory."""
    face = EagerReactor(MemoryReactorClock())
    yield face
    face.advance(0)  # listeners that have been stopped
    face.connectionLost(Failure(ConnectionDone()))


def factory() -> Factory:
    """Return a factory of protocols that do nothing."""
    return Factory.forProtocol(Protocol)


def listener(reactor: MemoryReactorClock, interface: str = "127.0.0.1") -> Listener:
    """Return a listener on port 4711."""
    return Listener(4711, factory(), interface=interface, backlog=9, reactor=reactor)


@pytest.mark.parametrize(("interface", "shown"), [("127.0.0.1", r"127\.0\.0\.1"), ("::1", r"\[::1\]")])
def test_is_a_tcp_server_and_says_where_it_listens(
    interface: str, shown: str, face: EagerReactor, start: Callable[[Service], Service], logged: list[str]
) -> None:
    service = start(Listener(0, factory(), interface=interface, backlog=9, reactor=cast(IReactorTCP, face)))
    assert isinstance(service, TCPServer)
    assert re.fullmatch(rf"listening on {shown}:\d+", logged[-1])


@pytest.mark.parametrize("listen", ["port", "endpoint"])
def test_connections_take_over_what_the_listener_has_set(
    listen: str, face: EagerReactor, start: Callable[[Service], Service]
) -> None:
    if listen == "port":
        start(Listener(0, factory(), interface="127.0.0.1", backlog=9, reactor=cast(IReactorTCP, face)))
    else:
        start(
            EndpointListener(
                "tcp:0:interface=127.0.0.1", factory(), backlog=9, reactor=cast(IReactorCore, face)
            )
        )
    [port] = face.getReaders()[:1]
    with socket.create_connection(("127.0.0.1", port.getHost().port), PATIENCE):
        face.doRead()
        [transport] = [reader for reader in face.getReaders() if hasattr(reader, "getTcpNoDelay")]
        assert transport.getTcpNoDelay()
        assert transport.getTcpKeepAlive()


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


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("tcp:99999", "bind(): port must be 0-65535."),
        ("tcp:0:interface=192.0.2.1", os.strerror(errno.EADDRNOTAVAIL)),
        ("unix:/nowhere/sock:lockfile=0", os.strerror(errno.ENOENT)),
        ("unix:file:lockfile=0", os.strerror(errno.EADDRINUSE)),
        ("unix:file", os.strerror(errno.EADDRINUSE)),
    ],
)
def test_what_an_endpoint_cannot_listen_on_is_one_line(description: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    done = run_twistd(tmp_path, "-n", "--pidfile=", "tsserv", f"--listen={description}")
    assert (done.returncode, done.stderr) == (1, f"Couldn't listen on {description}: {reason}\n")
    assert "Traceback" not in done.stdout
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("description", "backlog"), [("tcp:0:interface=127.0.0.1", 9), ("tcp:0:interface=127.0.0.1:backlog=3", 3)]
)
def test_as_many_may_wait_as_the_description_or_else_the_option_says(
    description: str,
    backlog: int,
    face: EagerReactor,
    start: Callable[[Service], Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(socket.socket, "listen", lambda _, backlog: asked.append(backlog))
    start(EndpointListener(description, factory(), backlog=9, reactor=cast(IReactorCore, face)))
    assert asked[-1] == backlog


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("tcp:x", "not an endpoint: invalid literal for int() with base 10: 'x'"),
        ("tcp", "not an endpoint: missing 1 required positional argument: 'port'"),
        ("tcp:1:speed=9", "not an endpoint: got an unexpected keyword argument 'speed'"),
        ("pigeon:1", "not an endpoint: Unknown endpoint type: 'pigeon'"),
        ("systemd:domain=INET:index=0", "systemd has not passed it; it has passed nothing"),
        ("ssl:443", "Twisted's ssl: loses answers to clients that half-close; use tls+tcp:"),
        ("haproxy:tcp:1", "Twisted's haproxy: loses answers to clients that half-close; use proxy+tcp:"),
    ],
)
def test_a_description_that_is_wrong_is_said_to_be(description: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        check_endpoint(description)


def test_a_description_says_what_comes_before_the_service() -> None:
    assert parse_description("tcp:0") == (False, False, "tcp:0")
    assert parse_description("proxy+unix:proxy+sock") == (True, False, "unix:proxy+sock")
    with pytest.raises(ValueError, match="not an endpoint: Unknown endpoint type: 'proxy\\+tcp'"):
        parse_description("proxy+proxy+tcp:0")


def test_an_endpoint_is_checked_without_listening(tmp_path: Path) -> None:
    check_endpoint(f"unix:{tmp_path}/sock")
    assert not list(tmp_path.iterdir())


def test_a_real_service_on_several_endpoints(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    path = tmp_path / "sock"
    service = serve(
        "--listen=tcp:0:interface=127.0.0.1",
        "--listen=tcp6:0:interface=\\:\\:1",
        f"--listen=unix:{path}:mode=660",
    )
    ports = [int(port) for port in re.findall(r"listening on \S+:(\d+)\n", service.output)]
    assert len(ports) == 3  # with --port=0, which is given too
    service.wait_for(f"listening on unix:{path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    clients = [
        *(socket.create_connection(("127.0.0.1", port), PATIENCE) for port in ports[:2]),
        socket.create_connection(("::1", ports[2]), PATIENCE),
        socket.socket(socket.AF_UNIX),
    ]
    clients[-1].connect(str(path))
    for client in clients:
        with client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            assert STAMP.fullmatch(receive(client, 28)[:-1])
            assert client.recv(1) == b""
    for host, port in ((r"127\.0\.0\.1", r" port \d+"), ("::1", r" port \d+"), ("unix", "")):
        service.wait_for(rf"connected from: {host}\n")
        service.wait_for(rf"closed: {host}{port}, 1 bytes in")
    assert service.stop() <= 0
    assert not path.exists()
    assert "Traceback" not in service.output


def test_a_socket_left_by_a_dead_service_is_taken_over(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    path = tmp_path / "sock"
    dead = serve(f"--listen=unix:{path}")
    dead.process.kill()
    dead.process.wait(PATIENCE)
    assert path.exists()
    with socket.socket(socket.AF_UNIX) as client:
        alive = serve(f"--listen=unix:{path}")
        client.connect(str(path))
        client.sendall(b"x")
        assert receive(client, 28).endswith(b"x")
        done = run_twistd(tmp_path, "-n", "--pidfile=", "tsserv", f"--listen=unix:{path}")
        assert done.returncode == 1
        assert f"Couldn't listen on unix:{path}: Cannot acquire lock\n" in done.stderr
    assert alive.stop() <= 0


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_socket_that_systemd_passes_is_listened_on_and_outlives_the_service(
    family: socket.AddressFamily, host: str, serve: Callable[..., Twistd]
) -> None:
    with socket.create_server((host, 0), family=family, backlog=77) as passed:
        for _ in range(2):
            with socket.create_connection(passed.getsockname()[:2], PATIENCE) as early:
                early.sendall(b"x")
                service = serve(passed=passed)
                assert receive(early, 28).endswith(b"x")
            assert service.output.count("listening on") == 1
            # tcpi_sacked, which is how many may wait, as systemd has it from the unit (Linux: <linux/tcp.h>)
            assert struct.unpack("28xI", passed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)) == (77,)
            assert service.stop() <= 0


def test_what_systemd_has_passed_is_said_if_another_socket_is_wanted(tmp_path: Path) -> None:
    arguments = ("-n", "--pidfile=", "tsserv", "--listen=systemd:domain=INET:index=1")
    done = run_twistd(tmp_path, *arguments, prefix=PASS)
    assert done.returncode == 1
    assert "index=1': systemd has not passed it; it has passed web (see" in done.stderr


def test_several_processes_share_a_port(serve: Callable[..., Twistd]) -> None:
    first = serve("--reuse-port")
    second = serve("--reuse-port", f"--port={first.port}")
    count = 0
    while not all("...connected" in service.output for service in (first, second)):
        count += 1
        assert count < 1000
        with first.connect() as client:
            client.sendall(b"x")
            receive(client, 28)
