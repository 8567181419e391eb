"""
The PROXY header that a proxy sends first on a connection.

See https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import socket
import struct

#: The versions that exist.
VERSIONS = ("v1", "v2")

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LOCAL, _PROXY = 0x20, 0x21  # version 2, and the command
_TCP4, _TCP6 = 0x11, 0x21


def proxy_header(version: str, sock: socket.socket) -> bytes:
    """
    Return the header for a connection, whose two ends it names; over a UNIX socket it names none.

    :param version: one of :data:`VERSIONS`.
    :param sock: connected.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _SIGNATURE + bytes([_LOCAL, 0, 0, 0])
    # An IPv6 address may have a zone, which says nothing on another machine.
    (source, source_port), (destination, port) = (
        (name[0].partition("%")[0], name[1]) for name in (sock.getsockname(), sock.getpeername())
    )
    ipv4 = sock.family == socket.AF_INET
    if version == "v1":
        return f"PROXY TCP{4 if ipv4 else 6} {source} {destination} {source_port} {port}\r\n".encode()
    addresses = b"".join(socket.inet_pton(sock.family, address) for address in (source, destination))
    addresses += struct.pack("!HH", source_port, port)
    kind = _TCP4 if ipv4 else _TCP6
    return _SIGNATURE + struct.pack("!BBH", _PROXY, kind, len(addresses)) + addresses
