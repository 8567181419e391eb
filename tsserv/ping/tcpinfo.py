"""What the kernel knows of a TCP connection (Linux, tcp(7))."""

from __future__ import annotations

import socket
import struct
import sys
from typing import NamedTuple

# The beginning of struct tcp_info in include/uapi/linux/tcp.h, which stays as it is: eight bytes, and 24
# numbers of 32 bits.  The indices are those of tcpi_rtt (microseconds), tcpi_snd_cwnd and tcpi_total_retrans.
_LAYOUT = struct.Struct("8B24I")
_RTT, _WINDOW, _RETRANSMITS = 8 + 15, 8 + 18, 8 + 23


class TcpInfo(NamedTuple):
    """The kernel's view of the way to the server; it does not see what the server retransmits."""

    #: The smoothed round-trip time of segments and their acknowledgements, in nanoseconds.
    rtt: int
    #: The congestion window, in segments.
    window: int
    #: How many segments were retransmitted on this connection.
    retransmits: int


def tcp_info(sock: socket.socket) -> TcpInfo | None:
    """Return what the kernel knows; ``None`` of UNIX sockets, and on other systems than Linux."""
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return None
    values = _LAYOUT.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAYOUT.size))
    return TcpInfo(values[_RTT] * 1000, values[_WINDOW], values[_RETRANSMITS])
