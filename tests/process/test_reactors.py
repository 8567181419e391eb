"""Real services on every reactor, and what the system does to their sockets."""

from __future__ import annotations

import re
import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import program
from processes import STAMP, Twistd, receive, send_all_and_read_to_the_end

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")


@pytest.mark.skipif(sys.platform != "linux", reason="these are the reactors of Linux")
@pytest.mark.parametrize(
    ("reactor", "options"),
    [("epoll", []), ("poll", []), ("select", []), ("asyncio", []), ("epoll", ["--no-eager"])],
)
def test_a_real_service_on_every_reactor(
    reactor: str, options: list[str], serve: Callable[..., Twistd]
) -> None:
    service = serve(*options, reactor=reactor)
    data = bytes(range(256)) * 40000
    with service.connect() as client:
        client.sendall(b"x")
        assert client.recv(100).endswith(b"x")
        assert STAMP.sub(b"", send_all_and_read_to_the_end(service.connect(), data)) == data
    assert service.stop() <= 0
    assert "Traceback" not in service.output


@pytest.mark.skipif(sys.platform != "linux", reason="strace is of Linux")
def test_errors_of_accept_are_two_lines_and_nobody_is_lost(
    tmp_path: Path, serve: Callable[..., Twistd]
) -> None:
    inject = "inject=accept4:error=EPROTO:when=1..50"
    trace = ("-o", str(tmp_path / "trace"), "-e", "trace=accept4", "-e", inject)
    service = serve(prefix=(program("strace"), "-D", "-f", *trace))
    with service.connect() as client:
        client.sendall(b"x")
        assert receive(client, 28).endswith(b"x")
    service.stop()
    assert re.findall(r"(?m)#(\w+\] .*accept.*)$", service.output) == [
        "warn] cannot accept connections, and keeps trying: Protocol error",
        "warn] attempts to accept a connection that failed: 50",
    ]
    assert "Traceback" not in service.output


def urgent_and_around(client: socket.socket) -> bytes:
    """Send a byte as urgent, among others, and return what comes back without stamps."""
    with client:
        client.sendall(b"before")
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"after")
        client.shutdown(socket.SHUT_WR)
        return STAMP.sub(b"", b"".join(iter(lambda: client.recv(9999), b"")))


@pytest.mark.skipif(sys.platform != "linux", reason="UNIX sockets with urgent bytes are of Linux")
def test_an_urgent_byte_is_one_like_the_others(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    service = serve(f"--listen=unix:{tmp_path / 'sock'}")
    assert urgent_and_around(service.connect()) == b"before!after"
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(tmp_path / "sock"))
    assert urgent_and_around(client) == b"before!after"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("options", [[], ["--no-eager"]], ids=["eager", "plain"])
def test_a_file_descriptor_that_a_client_passes_is_not_received(
    options: list[str], tmp_path: Path, serve: Callable[..., Twistd]
) -> None:
    service = serve(f"--listen=unix:{tmp_path / 'sock'}", *options)
    descriptors = Path(f"/proc/{service.process.pid}/fd")
    with socket.socket(socket.AF_UNIX) as client, (tmp_path / "passed").open("w") as passed:
        client.connect(str(tmp_path / "sock"))
        with suppress(PermissionError):  # from Linux 6.16
            socket.send_fds(client, [b"a"], [passed.fileno()])
        client.sendall(b"x")
        while not (answer := client.recv(999)).endswith(b"x"):
            assert answer
        assert str(tmp_path / "passed") not in [str(each.readlink()) for each in descriptors.iterdir()]
    service.stop()
    assert "file descriptor" not in service.output
