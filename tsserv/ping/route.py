"""How connections leave this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Route(NamedTuple):
    """What the user wants of each connection; ``None`` leaves it to the system."""

    #: The IP address to connect from.
    source: str | None = None
    #: The name of the network interface to send and receive by (SO_BINDTODEVICE in socket(7)).
    interface: str | None = None
    #: The type of service of IPv4, or the traffic class of IPv6; its upper six bits are the DSCP (RFC 2474).
    tos: int | None = None

    def apply(self, sock: socket.socket) -> None:
        """
        Prepare a socket that is not connected yet.

        :raises OSError: if the system refuses; its text names the option.
        """
        if self.interface is not None:
            with _naming(f"--interface {self.interface}"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.encode())
        if self.tos is not None:
            with _naming(f"--tos {self.tos}"):
                if sock.family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, self.tos)
                else:
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, self.tos)
        if self.source is not None:
            with _naming(f"--source {self.source}"):
                sock.bind((self.source, 0))


#: Leaves everything to the system.
ANY_ROUTE = Route()


@contextmanager
def _naming(option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{option}: {error.strerror}") from error
