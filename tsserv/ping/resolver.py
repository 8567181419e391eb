"""Looking up host names within the timeout, and without blocking signals as ``getaddrinfo`` does."""

from __future__ import annotations

import socket
import threading
import time
from queue import SimpleQueue
from typing import Any, NamedTuple

from tsserv.ping.loop import Task, Wait


class Address(NamedTuple):
    """Where to connect to."""

    family: socket.AddressFamily
    #: As :mod:`socket` takes it.
    address: tuple[Any, ...] | str


class Resolver:
    """
    Looks up the addresses of one host, in a thread: ``getaddrinfo`` waits for a silent name server for ten
    seconds and more, and does not let Python handle a signal meanwhile.

    :param host: a name or an IP address.
    :param port: of TCP.
    :param family: ``socket.AF_UNSPEC``, or the only address family to return.
    """

    def __init__(self, host: str, port: int, family: socket.AddressFamily) -> None:
        self._arguments = (host, port, family, socket.SOCK_STREAM)
        # Receives the result of the thread.
        self._result: SimpleQueue[list[Address] | Exception] = SimpleQueue()
        # Becomes readable when the thread ends; ``None`` while there is no thread.
        self._ended: socket.socket | None = None

    def __del__(self) -> None:
        if self._ended is not None:
            self._ended.close()

    def look_up(self, timeout: float) -> Task[list[Address]]:
        """
        Return the addresses of the host.

        A lookup that takes longer goes on, and the next call waits for it: there is at most one thread.

        :param timeout: in seconds.
        :raises OSError: if the host is not found, or if the time is over.
        :raises ValueError: if the name cannot be one of a host.
        """
        deadline = time.monotonic_ns() + round(timeout * 1e9)
        if self._ended is None:
            self._ended, end = socket.socketpair()
            threading.Thread(target=self._work, args=[end], daemon=True).start()
        if not (yield Wait(deadline, self._ended)):
            raise TimeoutError
        self._ended.close()
        self._ended = None
        found = self._result.get()
        if isinstance(found, Exception):
            raise found
        return found

    def _work(self, end: socket.socket) -> None:
        with end:
            try:
                found = socket.getaddrinfo(*self._arguments)
            except (OSError, ValueError) as error:
                self._result.put(error)
            else:
                self._result.put([Address(family, address) for family, _, _, _, address in found])
