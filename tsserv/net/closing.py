"""The end of a listener: whoever the system has connected is served, and nobody is reset."""

from __future__ import annotations

import socket
import sys

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

# Linux: <asm-generic/socket.h>.
_SO_BINDTOIFINDEX = 62

# The index of a network interface; they are counted from 1, and none is ever numbered so high.
_NOWHERE = 2**31 - 1

# More than any system lets wait for one listener.
_ALL = 1 << 16


def refuse_new_clients(listening: socket.socket) -> bool:
    """
    Have the system refuse new clients of a TCP listener, while those in the handshake finish it.

    A listener that is bound to an interface serves only clients that come in there, and nobody comes in by
    one that does not exist.  Handshakes that have begun are not bound to it.  Where several processes share
    the port (``SO_REUSEPORT``), clients of this one's share get no answer, and ask again a second later.

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

    Twisted's ``stopListening`` closes one turn of the reactor later, and resets who has come by then.  The
    path of a UNIX socket stays, and so does a socket that another process holds.
    """
    port.numberAccepts = _ALL
    port.doRead()
    port._shouldShutdown = False  # that would end the socket for the other process too
    tcp.Port.connectionLost(port, Failure(ConnectionDone()))  # a UNIX port's own removes the path
