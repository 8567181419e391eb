"""What a client gets from a real service, against what the time and the input say it must be."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest
from processes import STAMP, Twistd, receive

INPUTS = {
    "newline": b"\n",
    "empty lines": b"\n\r\n\n\r\n",
    "one byte": b"x",
    "line": b"hello\r\n",
    "NUL": b"\0",
    "every byte": bytes(range(256)),
    "format": b"%s %d %n {0} {host}\n",
    "UTF-8": "Grüße, 世界\n".encode(),
    "GBK": "你好\n".encode("gbk"),
    "invalid UTF-8": b"\xff\xfe\xc0\x80",
    "a stamp": b"[Mon Nov 23 08:22:38 2026] ",
    "1,400 bytes": b"x" * 1400,
}


@pytest.mark.parametrize("data", INPUTS.values(), ids=INPUTS.keys())
def test_the_answer_is_the_time_and_the_input(data: bytes, serve: Callable[..., Twistd]) -> None:
    with serve().connect() as client:
        before = int(time.time())
        client.sendall(data)
        answer = receive(client, 27 + len(data))
        after = int(time.time())
    stamps = [f"[{time.ctime(second)}] ".encode() for second in range(before, after + 1)]
    assert answer in [stamp + data for stamp in stamps]


def test_a_megabyte_comes_back_when_the_stamps_are_taken_out(serve: Callable[..., Twistd]) -> None:
    data = bytes(range(256)) * 4096
    with serve().connect() as client:
        sender = threading.Thread(target=client.sendall, args=[data])
        sender.start()
        echoed = b""
        answer = bytearray()
        while len(echoed) < len(data):
            answer += client.recv(1 << 20)
            echoed = STAMP.sub(b"", answer)
        sender.join()
    assert echoed == data


def test_connections_are_apart(serve: Callable[..., Twistd]) -> None:
    service = serve()
    clients = [service.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        client.sendall(b"%02d" % number)
    for number, client in reversed(list(enumerate(clients))):
        assert receive(client, 29)[27:] == b"%02d" % number
        client.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_ipv6_any_serves_both_families(serve: Callable[..., Twistd]) -> None:
    service = serve("--interface=::")
    assert f"listening on [::]:{service.port}\n" in service.output
    for host, shown in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")]:
        with service.connect(host) as client:
            client.sendall(b"x")
            assert receive(client, 28)[27:] == b"x"
        service.wait_for(rf"\.\.\.connected from: {shown}\n")
