"""
A TCP client that decides what is in each packet, over a TUN device.

As a program it needs root, and a network namespace of its own.  It fills the memory that the service's kernel
has for a connection: first with large packets, which take little more memory than they have bytes, then with
small ones, until one does not fit.  It reads little meanwhile.  Then it reads everything, and prints how many
bytes are not acknowledged at the end.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time

HERE, SERVER = "10.9.0.2", "10.9.0.1"
_ADDRESSES = socket.inet_aton(HERE) + socket.inet_aton(SERVER)
_SETUP = f"ip address add {SERVER}/24 dev peer && ip link set peer mtu 65535 up"

# Linux: include/uapi/linux/if_tun.h.
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000

_SYN, _ACK = 0x02, 0x10
_SCALE = 10


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Peer:
    """
    A connection to a port of :data:`SERVER`, which is this machine.

    :param port: where the service listens.
    :param window: how many bytes the client takes until :meth:`take_more`.
    """

    def __init__(self, port: int, window: int) -> None:
        self._device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self._device, _TUNSETIFF, struct.pack("16sH", b"peer", _IFF_TUN | _IFF_NO_PI))
        subprocess.run(_SETUP, shell=True, check=True)
        self._port, self._window, self._received, self._server_scale = port, window, 0, 0
        #: The sequence numbers of the next byte, of the first that is not acknowledged, and of the first that
        #: the server does not take yet.
        self.next = self.acknowledged = self.edge = 1
        # The maximum segment size (RFC 9293) and the window scale (RFC 7323).
        options = struct.pack("!BBHBBBB", 2, 4, 65495, 3, 3, _SCALE, 1)
        self._packet(_SYN, self.next, options=options)
        self.next += 1
        while not self._received:
            self.listen(0.01)

    def send(self, size: int) -> None:
        """Send so many new bytes in one packet."""
        self._packet(_ACK, self.next, b"x" * size)
        self.next += size

    def send_again(self) -> None:
        """Send what is not acknowledged, and say what has arrived and how much more may come."""
        self._packet(_ACK, self.next)
        self._packet(_ACK, self.acknowledged, b"x" * (self.next - self.acknowledged))

    def listen(self, seconds: float) -> None:
        """Take what arrives, until nothing has for so long."""
        while select.select([self._device], [], [], seconds)[0]:
            packet = os.read(self._device, 1 << 16)
            if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_TCP:
                self._take(packet[20:])

    def _take(self, segment: bytes) -> None:
        sequence, acknowledged, length, flags, window = struct.unpack_from("!IIBBH", segment, 4)
        options, data = segment[20 : (length >> 4) * 4], segment[(length >> 4) * 4 :]
        self.acknowledged = max(self.acknowledged, acknowledged)
        if flags & _SYN:
            self._received = sequence + 1
            self._server_scale = options[options.index(b"\x03\x03") + 2]
        else:
            window <<= self._server_scale
        self.edge = acknowledged + window
        if sequence == self._received and len(data) <= self._window:
            self._received += len(data)
            self._window -= len(data)
        if data or flags & _SYN:
            self._packet(_ACK, self.next)

    def take_more(self) -> None:
        """Have room for a mebibyte more."""
        self._window = 1 << 20

    def _packet(self, flags: int, sequence: int, data: bytes = b"", options: bytes = b"") -> None:
        window = 65535 if flags & _SYN else self._window >> _SCALE
        words = (20 + len(options)) // 4
        header = (40000, self._port, sequence, self._received, words << 4, flags, window)
        segment = struct.pack("!HHIIBBHHH", *header, 0, 0) + options + data
        pseudo_header = _ADDRESSES + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment))
        checksum = _checksum(pseudo_header + segment)
        segment = segment[:16] + struct.pack("!H", checksum) + segment[18:]
        outer = (
            struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, socket.IPPROTO_TCP, 0) + _ADDRESSES
        )
        os.write(self._device, outer[:10] + struct.pack("!H", _checksum(outer)) + outer[12:] + segment)


def main() -> None:
    """Do it to the port that is the first argument, within as many seconds as the second says."""
    peer = Peer(int(sys.argv[1]), 60_000)
    while peer.edge - peer.next > 60_000:
        peer.send(61_000)
        while peer.next != peer.acknowledged:
            peer.listen(0.01)
    while peer.edge > peer.acknowledged and peer.edge - peer.next >= 200:
        for _ in range(4):
            peer.send(200)
        peer.listen(0.01)
    end = time.monotonic() + float(sys.argv[2])
    while peer.next != peer.acknowledged and time.monotonic() < end:
        peer.take_more()
        peer.send_again()
        peer.listen(0.1)
    print("not acknowledged at the end:", peer.next - peer.acknowledged)


if __name__ == "__main__":
    main()
