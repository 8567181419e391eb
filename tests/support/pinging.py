"""``tsserv-ping`` in this process, and the other ends that it is tried with."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tsserv.ping.command import main

#: Serves one connection.
Handler = Callable[[socket.socket], None]


@contextmanager
def serving(handle: Handler, *, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve each connection to a port of 127.0.0.1 in a thread of its own; return the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []
    clients = []

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            if context is None:
                handle(client)
            else:
                with context.wrap_socket(client, server_side=True) as secure:
                    handle(secure)

    def accept() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = listener.accept()
                clients.append(client)
                threads.append(threading.Thread(target=serve, args=[client]))
                threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[-1].start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


@contextmanager
def refusing() -> Iterator[int]:
    """Keep a port of 127.0.0.1 where nothing listens; return it."""
    with socket.socket() as keeper:  # or somebody else might get the port
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


@dataclass
class Done:
    """What a run of ``tsserv-ping`` left."""

    status: int
    out: str
    err: str

    @property
    def probes(self) -> list[dict[str, Any]]:
        """The objects of the probes, with ``--json``."""
        return [json.loads(line) for line in self.out.splitlines()][:-1]

    @property
    def summary(self) -> dict[str, Any]:
        """The last object, with ``--json``."""
        summary: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return summary


class Ping:
    """Runs ``tsserv-ping`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Done:
        """Run it and return what it left."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Done(status, *self._capsys.readouterr())
