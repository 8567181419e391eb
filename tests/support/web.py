"""HTTP in memory, and requests to a real service's ``--status``."""

from __future__ import annotations

import http.client
from typing import Any

from processes import PATIENCE, Twistd
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


class _Transport(StringTransport):
    """A connection that ends in the turn in which Twisted's does."""

    channel: Any

    def connectionLost(self, reason: Failure) -> None:
        self.channel.connectionLost(reason)


class Browser:
    """A client of a site in memory: one connection."""

    def __init__(self, site: Any) -> None:  # noqa: ANN401
        self.channel = site.buildProtocol(None)
        self.transport = _Transport()
        self.transport.channel = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> bytes:
        """Send ``data``; return all that has been answered."""
        self.channel.dataReceived(data)
        answer: bytes = self.transport.value()
        return answer

    @property
    def closed(self) -> bool:
        """Whether the server closes the connection."""
        return bool(self.transport.disconnecting or self.transport.disconnected)


def get(site: Any, path: str, accept: str = "*/*") -> tuple[int, dict[str, str], str]:  # noqa: ANN401
    """Get a page of a site in memory; return its status, its header fields and its body."""
    answer = Browser(site).send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    return int(first.split()[1]), dict(field.split(": ", 1) for field in fields), body.decode()


def ask(service: Twistd, path: str) -> tuple[int, str]:
    """Get a page of a service with ``--status=0``; return its status and body."""
    port = int(service.wait_for(r"status on 127\.0\.0\.1:(\d+)\n")[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
