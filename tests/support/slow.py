"""Clients that read slowly."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time

from processes import PATIENCE, STAMP

#: More than all buffers on the way hold.
MUCH = 16 << 20

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def exchange_slowly(client: socket.socket, rate: int, slowly: int) -> None:
    """
    Send :data:`MUCH`, and check that all of the answer comes back.

    :param client: may be an :class:`ssl.SSLSocket`.
    :param rate: at which the answer is read at first, in bytes a second.
    :param slowly: how much of it; the rest is read quickly.
    """
    data = random.Random(rate).randbytes(MUCH)
    client.setblocking(False)
    begun = time.monotonic()
    sent, answer = 0, bytearray()
    while True:
        due = int((time.monotonic() - begun) * rate) - len(answer) if len(answer) < slowly else 1 << 20
        progress = 0
        with contextlib.suppress(*_WOULD_BLOCK):
            if sent < len(data):
                progress = client.send(data[sent : sent + 65536])
                sent += progress
                if sent == len(data):
                    # SSLSocket's own method would end TLS in both directions.
                    socket.socket.shutdown(client, socket.SHUT_WR)
        with contextlib.suppress(*_WOULD_BLOCK):
            if due > 0:
                piece = client.recv(due)
                if not piece:
                    break
                answer += piece
                progress = len(piece)
        if not progress:
            time.sleep(0.01)
        assert time.monotonic() - begun < PATIENCE + slowly / rate
    assert STAMP.sub(b"", bytes(answer)) == data
