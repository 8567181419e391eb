"""What waits in a connection, in Twisted and in the kernel."""

from __future__ import annotations

import struct
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ

from twisted.internet.tcp import Connection


def buffered(transport: Connection) -> int:
    """Return how many bytes have been written and not sent."""
    # The part of the output that doWrite sends from, and what has been written since.
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


def unsent(transport: Connection) -> int:
    """Return how many bytes have been written and the peer has not acknowledged."""
    return buffered(transport) + _in_kernel(transport, TIOCOUTQ)


def waiting(transport: Connection) -> bool:
    """Return whether anything that has arrived has not been read, or anything written is unsent."""
    return bool(_in_kernel(transport, FIONREAD) or unsent(transport))


def _in_kernel(transport: Connection, request: int) -> int:
    """Return the bytes in a queue of the socket (Linux: tcp(7)); 0 where the system does not tell."""
    try:
        (count,) = struct.unpack("i", ioctl(transport.getHandle(), request, bytes(4)))
    except OSError:
        return 0
    return int(count)
