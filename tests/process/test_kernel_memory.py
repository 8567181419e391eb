"""The kernel's memory for a connection is bounded, and bounds lose nothing."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from certificates import Files, tls_port
from conftest import program
from processes import PATIENCE, STAMP, Twistd, receive, send_all_and_read_to_the_end

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells")

# Bytes: --socket-buffer each way, and a packet more over loopback, since the kernel takes whole ones.
BOUND = 2 * (256 + 64) * 1024


def kernel_memory(port: int) -> list[int]:
    """Return how many bytes the kernel uses at the service's end of each connection to ``port`` (ss(8))."""
    command = [program("ss"), "--tcp", "--numeric", "--memory", "state", "established", f"sport = :{port}"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    # What has been received and not read, what is reserved, and what has been sent and not acknowledged.
    each = re.findall(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(\d+),w(\d+)", listed)
    return [sum(map(int, figures)) for figures in each]


def flood(client: socket.socket, data: bytes) -> None:
    """Send until the service takes no more."""
    client.settimeout(0.05)  # the service has stopped reading when nothing has gone for so long
    with contextlib.suppress(TimeoutError):
        while True:
            client.sendall(data)


@linux
@pytest.mark.parametrize("kind", ["chunk", "line", "tls"])
@pytest.mark.parametrize("fast", [0, 4 << 20], ids=["never", "no longer"])
def test_the_kernel_holds_little_for_clients_that_do_not_read(
    kind: str, fast: int, files: Files, serve: Callable[..., Twistd]
) -> None:
    """A client that has exchanged much may have large buffers by then."""
    service = serve("--framing=line" if kind == "line" else "--framing=chunk", *files.options)
    port = tls_port(service) if kind == "tls" else service.port
    chunk = bytes(65536)
    with contextlib.ExitStack() as clients:
        for _ in range(8):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            if kind == "tls":
                context = files.context()
                client = clients.enter_context(context.wrap_socket(client, server_hostname="127.0.0.1"))
            for _ in range(fast // len(chunk)):
                client.sendall(chunk)
                receive(client, len(chunk))
            flood(client, b"\n" * 65536 if kind == "line" else chunk)
        used = kernel_memory(port)
    assert len(used) == 8
    assert max(used) <= BOUND


@pytest.mark.parametrize("options", [[], ["--no-eager"]], ids=["eager", "plain"])
def test_the_smallest_buffers_lose_nothing(options: list[str], serve: Callable[..., Twistd]) -> None:
    data = random.Random(0).randbytes(1 << 20)
    answer = send_all_and_read_to_the_end(serve("--socket-buffer=2", *options).connect(), data)
    assert STAMP.sub(b"", answer) == data
