"""Clients that read slowly get every byte, whatever lies between; those that stop reading are cut off."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Files, tls_port
from processes import PATIENCE, Twistd, wait_until
from slow import MUCH, exchange_slowly

TIMEOUT = 0.5

# In bytes a second. The least is 16 KiB in each timeout.
SLOW = 48_000

# The next system takes no more until many bytes have been read: 36 KiB over a UNIX socket, up to 128 KiB over
# loopback.
STEPS = 200_000


def encrypted(service: Twistd, files: Files, client: socket.socket) -> ssl.SSLSocket:
    """Connect ``client`` to the TLS listener."""
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", tls_port(service)))
    return files.context().wrap_socket(client, server_hostname="127.0.0.1")


@pytest.mark.parametrize("options", [[], ["--no-eager"], ["--framing=line"]], ids=["eager", "plain", "line"])
def test_a_slow_reader_over_tcp_gets_every_byte(options: list[str], serve: Callable[..., Twistd]) -> None:
    with serve(f"--stall-timeout={TIMEOUT}", *options).connect() as client:
        exchange_slowly(client, SLOW, STEPS)


@pytest.mark.once
@pytest.mark.parametrize("options", [[], ["--no-eager"]], ids=["eager", "plain"])
def test_a_slow_reader_over_a_unix_socket_gets_every_byte(
    options: list[str], tmp_path: Path, serve: Callable[..., Twistd]
) -> None:
    path = tmp_path / "sock"
    serve(f"--stall-timeout={TIMEOUT}", f"--listen=unix:{path}", "--port=0", *options)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        exchange_slowly(client, SLOW, STEPS)


def test_a_slow_reader_over_tls_gets_every_byte(files: Files, serve: Callable[..., Twistd]) -> None:
    service = serve(f"--stall-timeout={TIMEOUT}", *files.options)
    with socket.socket() as plain, encrypted(service, files, plain) as client:
        exchange_slowly(client, SLOW, STEPS)


def test_a_client_that_stops_after_it_has_read_quickly_is_cut_off(serve: Callable[..., Twistd]) -> None:
    """What it has read long ago does not let it hold memory for ever: it may be 2 MiB behind, no more."""
    service = serve("--stall-timeout=0.05")
    with service.connect() as client:
        received = 0
        while received < MUCH:
            client.sendall(bytes(65536))
            received += len(client.recv(1 << 20))
        with pytest.raises(ConnectionError):
            client.sendall(bytes(1 << 26))
    service.wait_for("aborting connections")


def test_a_client_that_takes_nothing_over_a_unix_socket_is_cut_off(
    tmp_path: Path, serve: Callable[..., Twistd]
) -> None:
    path = tmp_path / "sock"
    service = serve(f"--stall-timeout={TIMEOUT}", f"--listen=unix:{path}", "--port=0")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        with pytest.raises(ConnectionError):
            client.sendall(bytes(MUCH))
    service.wait_for("aborting connections")


def test_a_client_over_tls_that_goes_on_sending_and_takes_nothing_is_cut_off(
    files: Files, serve: Callable[..., Twistd]
) -> None:
    """A record is larger than what is in it; the difference is not taken for something that was read."""
    service = serve(f"--stall-timeout={TIMEOUT}", *files.options)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with encrypted(service, files, plain) as client:

            def aborted() -> bool:
                try:
                    client.sendall(b"x")
                except OSError:
                    return True
                return False

            wait_until(aborted, "the connection is aborted")
    service.wait_for("aborting connections")
