"""What every connection inherits from the socket that listens."""

from __future__ import annotations

import socket
from contextlib import suppress

# Linux: include/uapi/asm-generic/socket.h.
_SO_PASSRIGHTS = 83


def set_options(listening: socket.socket, socket_buffer: int) -> None:
    """
    Set the options of all connections that will be accepted.

    Over TCP small answers are sent at once, dead peers are noticed, urgent bytes stay in the stream, and the
    kernel's memory for what has arrived and for what is not sent is bounded. A client of a UNIX socket cannot
    pass file descriptors.

    :param socket_buffer: how much of the kernel's memory a TCP connection may take each way, in bytes;
        with 0 the kernel decides, and may take megabytes (tcp(7), ``tcp_rmem`` and ``tcp_wmem``).
    """
    if listening.family == socket.AF_UNIX:
        with suppress(OSError):  # it needs Linux 6.16
            listening.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
        return
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    if socket_buffer:
        # Linux doubles the size, to count the memory for the bytes and not the bytes alone (socket(7)).
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, socket_buffer // 2)
        # SO_SNDBUF would do it too. But when the memory for all of TCP is used up, Linux says of sockets with
        # that option that they can be written to, and takes nothing: the service would try without end.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, socket_buffer // 2)
