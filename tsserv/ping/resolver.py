"""Looking up host names within the timeout, and without blocking signals as ``getaddrinfo`` does."""

from __future__ import annotations

import socket
import threading
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple


class Address(NamedTuple):
    """Where to connect to."""

    family: socket.AddressFamily
    #: As :mod:`socket` takes it.
    address: tuple[Any, ...]


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
        # Receives the result of the thread; ``None`` while there is no thread.
        self._result: SimpleQueue[list[Address] | Exception] | None = None

    def look_up(self, timeout: float) -> list[Address]:
        """
        Return the addresses of the host.

        A lookup that takes longer goes on, and the next call waits for it: there is at most one thread.

        :param timeout: in seconds.
        :raises OSError: if the host is not found, or if the time is over.
        :raises ValueError: if the name cannot be one of a host.
        """
        if self._result is None:
            self._result = SimpleQueue()
            threading.Thread(target=self._work, args=[self._result], daemon=True).start()
        try:
            found = self._result.get(timeout=timeout)
        except Empty:
            raise TimeoutError from None
        self._result = None
        if isinstance(found, Exception):
            raise found
        return found

    def _work(self, result: SimpleQueue[list[Address] | Exception]) -> None:
        try:
            found = socket.getaddrinfo(*self._arguments)
        except (OSError, ValueError) as error:
            result.put(error)
        else:
            result.put([Address(family, address) for family, _, _, _, address in found])
