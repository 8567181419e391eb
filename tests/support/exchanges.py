"""
Clients of a fleet, as a program: half-closing ones and long conversations, until standard input ends.

Its arguments are the address and the port of the balancer, and how many seconds a conversation lasts, more or
less.  It prints a line of JSON for each :class:`Exchange` that has ended.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from processes import STAMP

KINDS = ("half-close", "conversation")

#: Of each kind.
CLIENTS = 20

# How long a client waits for an answer, in seconds: longer than any host is hung.
_PATIENCE = 60.0


class Exchange(NamedTuple):
    """What a connection was for, and what came of it; times are seconds since 1970."""

    kind: str
    began: float
    ended: float
    #: The client's.
    port: int
    #: What was lost and why; empty if nothing was.
    lost: str


def half_close(connection: socket.socket) -> None:
    """Send some data and shut the sending side; read to the end."""
    data = random.randbytes(random.choice((10, 100, 1000, 50_000)))
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    answer = bytearray()
    while piece := connection.recv(1 << 16):
        answer += piece
    got = STAMP.sub(b"", bytes(answer))
    assert got == data, f"{len(got)} of {len(data)} bytes"


def converse(connection: socket.socket) -> None:
    """Send a message ten times a second, and wait for each answer."""
    until = time.monotonic() + random.uniform(0.5, 1.5) * float(sys.argv[3])
    while time.monotonic() < until:
        data = random.randbytes(40)
        connection.sendall(data)
        answer = b""
        while not answer.endswith(data):
            piece = connection.recv(1 << 16)
            assert piece, f"closed after {answer!r}"
            answer += piece
        assert STAMP.sub(b"", answer) == data, f"{answer!r}"
        time.sleep(0.1)
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b"", "more bytes"


def main() -> None:
    """Have the clients at it."""
    host, port = sys.argv[1], int(sys.argv[2])
    over = threading.Event()
    printing = threading.Lock()

    def repeat(kind: str, exchange: Callable[[socket.socket], None]) -> None:
        while not over.is_set():
            began, own, lost = time.time(), 0, ""
            try:
                with socket.create_connection((host, port), _PATIENCE) as connection:
                    own = connection.getsockname()[1]
                    exchange(connection)
            except (OSError, AssertionError) as error:
                lost = f"{type(error).__name__}: {error}"
            with printing:
                print(json.dumps([kind, began, time.time(), own, lost]), flush=True)
            over.wait(0.05)

    for kind, exchange in zip(KINDS, (half_close, converse), strict=True):
        for _ in range(CLIENTS):
            threading.Thread(target=repeat, args=(kind, exchange)).start()
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main()
