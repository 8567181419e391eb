"""The end of a listener: whoever the system has connected is served, and nobody is reset."""

from __future__ import annotations

import array
import socket
import struct
import sys

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

# Linux: <asm-generic/socket.h>.
_SO_ATTACH_FILTER = 26

# A program of the classic BPF (Linux: Documentation/networking/filter.rst); the data begins with the TCP
# header, whose flags are byte 13, and SYN in them is 0x02 (RFC 9293, section 3.1).
_DROP_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # ldb [13]
        (0x45, 0, 1, 0x02),  # jset #0x02, the next one, else the one after
        (0x06, 0, 0, 0),  # ret #0: drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # ret #-1: keep all of it
    )
)

# More than any system lets wait for one listener.
_ALL = 1 << 16


def drop_new_clients(listening: socket.socket) -> bool:
    """
    Have the system ignore new clients of a TCP listener, while those in the handshake finish it.

    A client that is ignored asks again a second later, and is refused then.

    :return: whether the system can do that; Linux can.
    """
    if sys.platform != "linux":
        return False
    program = array.array("B", _DROP_SYN)
    address, size = program.buffer_info()
    try:
        # struct sock_fprog: the number of instructions, of eight bytes each, and where they are.
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", size // 8, address))
    except OSError:
        return False
    return True


def accept_and_close(port: tcp.Port) -> None:
    """
    Accept all clients that wait, and close the listener before others can come.

    Twisted's ``stopListening`` closes one turn of the reactor later, and resets who has come by then.  The
    path of a UNIX socket stays, and so does a socket that another process holds.
    """
    port.numberAccepts = _ALL
    port.doRead()
    port._shouldShutdown = False  # that would end the socket for the other process too
    tcp.Port.connectionLost(port, Failure(ConnectionDone()))  # a UNIX port's own removes the path
