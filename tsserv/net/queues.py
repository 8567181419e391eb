"""What waits in a connection, in Twisted and in the kernel."""

from __future__ import annotations

import struct
from fcntl import ioctl
from socket import AF_UNIX, SO_RCVBUF, SOL_SOCKET
from termios import FIONREAD, TIOCOUTQ

from twisted.internet.tcp import Connection

# The most that Linux puts into one buffer of a UNIX connection (net/unix/af_unix.c, unix_stream_sendmsg, with
# pages of 4 KiB), rounded up.
_UNIX_BUFFER = 36 * 1024

# Linux: include/uapi/asm-generic/socket.h.
_SO_MEMINFO = 55


def buffered(transport: Connection) -> int:
    """Return how many bytes have been written and not sent."""
    # The part of the output that doWrite sends from, and what has been written since.
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


def unsent(transport: Connection) -> int:
    """
    Return how many bytes have been written and the peer's system has not acknowledged.

    Over a UNIX socket Linux counts its own overhead too.
    """
    return buffered(transport) + _in_kernel(transport, TIOCOUTQ)


def largest_step(transport: Connection) -> int:
    """Return how many bytes :func:`unsent` may count that the peer has read: UNIX frees whole buffers."""
    return _UNIX_BUFFER if transport.getHandle().family == AF_UNIX else 0


def waiting(transport: Connection) -> bool:
    """Return whether anything that has arrived has not been read, or anything written is unsent."""
    return bool(_in_kernel(transport, FIONREAD) or unsent(transport))


def make_room(transport: Connection) -> None:
    """
    Let the kernel receive more, if what it has received takes more memory than it may (``--socket-buffer``).

    Small packets take more memory for each byte than the kernel expects when it tells the client how much to
    send. Linux drops those that do not fit, and ignores the acknowledgements that come with later ones, which
    RFC 9293 (section 3.10.7.4) has it accept. The service reads no more until its answers are acknowledged:
    both would wait for ever (seen with Linux 6.18).
    """
    connection = transport.getHandle()
    try:
        used, most = struct.unpack("II", connection.getsockopt(SOL_SOCKET, _SO_MEMINFO, 8))
        if used > most:
            connection.setsockopt(SOL_SOCKET, SO_RCVBUF, most)  # Linux doubles it (socket(7))
    except OSError:
        pass  # the system does not tell


def _in_kernel(transport: Connection, request: int) -> int:
    """Return the bytes in a queue of the socket (Linux: tcp(7)); 0 where the system does not tell."""
    try:
        (count,) = struct.unpack("i", ioctl(transport.getHandle(), request, bytes(4)))
    except OSError:
        return 0
    return int(count)
