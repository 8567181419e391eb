"""A page over HTTP, in a thread of its own, so that no client holds up the probes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tsserv.ping.address import HostPort

# How long a client may take to send its request, and as long again to read the answer, in seconds.  Others
# wait meanwhile: Prometheus waits ten seconds.
_PATIENCE = 2.0

# The longest request, in bytes.
_LONGEST = 16 * 1024

# A pause if no connection can be accepted, in seconds.
_PAUSE = 0.1

_PATH = "/metrics"


class PageServer:
    """
    Serves a page to one client after another.

    :param address: where to listen.
    :param page: makes the page, in the thread.
    :param content_type: the media type of the page.
    :raises OSError: if it cannot listen there.
    """

    def __init__(self, address: HostPort, page: Callable[[], bytes], content_type: str) -> None:
        self._page = page
        self._content_type = content_type
        [(family, _, _, _, bound), *_] = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        self._listener = socket.create_server(bound[:2], family=family)
        self._ended = False

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HostPort(*self._listener.getsockname()[:2])}{_PATH}"

    def start(self) -> None:
        """Serve until :meth:`stop`."""
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        self._ended = True
        with suppress(OSError):  # of systems that end only connections so
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:  # no file descriptor is free, or this is the end
                time.sleep(_PAUSE)
                continue
            with client, suppress(OSError):  # the client is too slow, or has gone
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        deadline = time.monotonic() + _PATIENCE
        request = b""
        while b"\r\n\r\n" not in request and len(request) < _LONGEST:
            client.settimeout(max(deadline - time.monotonic(), 1e-6))
            data = client.recv(_LONGEST)
            if not data:
                return
            request += data
        if request.startswith((f"GET {_PATH} ".encode(), f"GET {_PATH}?".encode())):
            status, content_type, page = "200 OK", self._content_type, self._page()
        else:
            status, content_type, page = "404 Not Found", "text/plain", f"see {_PATH}\n".encode()
        head = (
            f"HTTP/1.0 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(page)}\r\n\r\n"
        ).encode()
        client.settimeout(_PATIENCE)  # of all that is sent
        client.sendall(head + page)
