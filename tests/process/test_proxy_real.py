"""Connections to real services that begin with a PROXY header."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from processes import PATIENCE, STAMP, Twistd, send_all_and_read_to_the_end

PROXY = "127.0.0.1"
HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n"
OTHER = b"PROXY TCP4 192.0.2.2 192.0.2.9 4711 443\r\n"


def port_of_last(service: Twistd) -> int:
    """Return the port of the listener that was given last."""
    ports: list[str] = re.findall(r"listening on \S+:(\d+)\n", service.output)
    return int(ports[-1])


@pytest.mark.parametrize("options", [[], ["--no-eager"]], ids=["eager", "no-eager"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_real_service(kind: str, options: list[str], tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    """A header in pieces, and one together with all that the client sends."""
    path = str(tmp_path / "sock")
    endpoint = "tcp:0:interface=127.0.0.1" if kind == "tcp" else f"unix:{path}"
    service = serve(f"--listen=proxy+{endpoint}", *options)

    def connected() -> socket.socket:
        if kind == "tcp":
            return socket.create_connection((PROXY, port_of_last(service)), PATIENCE)
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        return client

    client = connected()
    for place in range(len(HEADER)):
        client.sendall(HEADER[place : place + 1])
    service.wait_for(r"connected from: 192\.0\.2\.1\n")
    data = b"x" * 200_000
    assert STAMP.sub(b"", send_all_and_read_to_the_end(client, data)) == data
    assert STAMP.sub(b"", send_all_and_read_to_the_end(connected(), OTHER + b"hello")) == b"hello"
    service.wait_for(r"connected from: 192\.0\.2\.2\n")
    with connected() as client:
        client.sendall(b"hello")
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    service.stop()
    assert "connections closed without a valid PROXY header: 1\n" in service.output
    assert "Traceback" not in service.output


def test_a_real_proxy_must_be_trusted(serve: Callable[..., Twistd]) -> None:
    service = serve("--listen=proxy+tcp:0:interface=127.0.0.1", "--proxy-trust=127.0.0.2,192.0.2.0/24")
    with (
        socket.create_connection((PROXY, port_of_last(service)), PATIENCE) as stranger,
        socket.create_connection(
            (PROXY, port_of_last(service)), PATIENCE, source_address=("127.0.0.2", 0)
        ) as proxy,
    ):
        assert stranger.recv(1) == b""
        assert STAMP.sub(b"", send_all_and_read_to_the_end(proxy, HEADER + b"hello")) == b"hello"
    service.wait_for(r"closing connections from 127\.0\.0\.1: it is not a trusted proxy \(--proxy-trust\)\n")
