"""The end of a listener: every client that the system has connected is served, and none is reset."""

from __future__ import annotations

import socket
import sys

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

# Linux: <asm-generic/socket.h>.
_SO_BINDTOIFINDEX = 62

# The index of a network interface that does not exist: they are counted from 1.
_NOWHERE = 2**31 - 1

# More than any system lets wait for one listener.
_ALL = 1 << 16


def refuse_new_clients(listening: socket.socket) -> bool:
    """
    Have the system refuse new clients of a TCP listener, while those in the handshake finish it.

    A listener that is bound to a network interface gets only the clients that arrive there; here it is one
    that does not exist.  Handshakes that have begun are not bound to it.  If several processes share the port
    (``SO_REUSEPORT``), this one's share of the clients get no answer, and try again a second later.

    A packet filter that drops SYNs would do the same, but needs privileges on newer systems.

    :return: whether the system can do that: Linux can, from 5.7 on.
    """
    if sys.platform != "linux":
        return False
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NOWHERE)
    except OSError:
        return False
    return True


def accept_and_close(port: tcp.Port) -> None:
    """
    Accept all clients that wait, and close the listener before others can come.

    Twisted's ``stopListening`` closes one turn of the reactor later, and clients that have connected by then
    are reset.  The file of a UNIX socket is left alone, and a socket that another process holds stays open.
    """
    port.numberAccepts = _ALL
    port.doRead()
    port._shouldShutdown = False  # shutdown() would end the socket for the other process too
    tcp.Port.connectionLost(port, Failure(ConnectionDone()))  # that of UNIX ports removes the file
