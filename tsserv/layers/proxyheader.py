"""
PROXY protocol headers, versions 1 and 2: whom a proxy speaks for, said before all else.

The specification is https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt; sections below are its.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct
from typing import NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress


class NotAHeader(ValueError):
    """What has come is not how a PROXY header begins, whatever follows; says why, in a few words."""


class Header(NamedTuple):
    """One header, whole and valid."""

    #: In bytes; what the client has sent comes after them.
    size: int
    #: ``None`` if the header names no client that is known here: the proxy may speak for itself.
    client: IPv4Address | IPv6Address | UNIXAddress | None


def parse_header(data: bytearray) -> Header | None:
    """
    Find the header at the beginning of a connection.

    :param data: all that has been received.
    :return: ``None`` while the header is not whole.
    :raises NotAHeader: as soon as it begins as none, is too long, or does not hold what it should; what is
        in a line is judged when the line is whole.
    """
    for start, parse in _FORMS:
        if data.startswith(start):
            return parse(data)
        if start.startswith(data):
            return None
    raise NotAHeader("unknown beginning")


def _client(packed: bytes, port: int) -> IPv4Address | IPv6Address:
    """Return an address as the system writes those of its own connections."""
    if len(packed) == 4:
        return IPv4Address("TCP", inet_ntop(AF_INET, packed), port)
    return IPv6Address("TCP", inet_ntop(AF_INET6, packed), port)


# Version 1, a line of text (section 2.1)

# With the CRLF at its end.
_LONGEST_LINE = 107

# What comes after `PROXY TCP4 ` or `PROXY TCP6 `: two addresses, of which ipaddress judges all but the
# zones that IPv6 may have elsewhere, and two ports.
_FIELDS = re.compile(b"([^ %]+) ([^ %]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})")


def _end_of_line(data: bytearray) -> int:
    """Return where the CRLF is, or -1 if it may still come."""
    end = data.find(b"\r\n", 0, _LONGEST_LINE)
    if end < 0 and len(data) >= _LONGEST_LINE:
        raise NotAHeader(f"no end of line within {_LONGEST_LINE} bytes")
    return end


def _tcp(
    data: bytearray, parse_address: Callable[[str], ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> Header | None:
    end = _end_of_line(data)
    if end < 0:
        return None
    fields = _FIELDS.fullmatch(data, len("PROXY TCP4 "), end)
    if not fields or max(int(fields[3]), int(fields[4])) > 65535:
        raise NotAHeader("not two addresses and two ports")
    try:
        source, _ = (parse_address(address.decode()) for address in fields.group(1, 2))
    except ValueError as error:
        raise NotAHeader("not an address") from error
    return Header(end + 2, _client(source.packed, int(fields[3])))


def _unknown(data: bytearray) -> Header | None:
    end = _end_of_line(data)
    return Header(end + 2, None) if end >= 0 else None


# Version 2, binary (section 2.2)

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

# Version and command.  By LOCAL a proxy speaks for itself.
_LOCAL, _PROXY = b"\x20", b"\x21"

# Family and protocol: what the addresses take, and where the source's is in it.  Datagrams do not come
# over connections: like all that is valid and not here, they are taken for UNSPEC, as section 2.2 asks.
_UNSPEC, _TCP4, _TCP6, _UNIX_STREAM = 0x00, 0x11, 0x21, 0x31
_ADDRESSES = {_TCP4: Struct("!4s4xH2x"), _TCP6: Struct("!16s16xH2x"), _UNIX_STREAM: Struct("216x")}


def _proxied(data: bytearray) -> Header | None:
    kind = data[13] if len(data) > 13 else _UNSPEC
    if kind >> 4 > 3 or kind & 15 > 2:
        raise NotAHeader("unknown family or protocol")
    return _binary(data, kind)


def _local(data: bytearray) -> Header | None:
    return _binary(data, _UNSPEC)  # whatever it says of family and protocol


def _binary(data: bytearray, kind: int) -> Header | None:
    if len(data) < 16:
        return None
    size = 16 + int.from_bytes(data[14:16], "big")
    addresses = _ADDRESSES.get(kind)
    if addresses and size < 16 + addresses.size:
        raise NotAHeader("too short for its addresses")
    if len(data) < size:
        return None
    client: IPv4Address | IPv6Address | UNIXAddress | None = None
    if addresses:
        source = addresses.unpack_from(data, 16)
        # The path of a UNIX client is a peer's word, and nobody here asks for it.
        client = _client(*source) if source else UNIXAddress(None)
    return Header(size, client)


# How each form begins, and who reads on from there.
_FORMS: tuple[tuple[bytes, Callable[[bytearray], Header | None]], ...] = (
    (b"PROXY TCP4 ", lambda data: _tcp(data, ipaddress.IPv4Address)),
    (b"PROXY TCP6 ", lambda data: _tcp(data, ipaddress.IPv6Address)),
    (b"PROXY UNKNOWN ", _unknown),
    (b"PROXY UNKNOWN\r\n", _unknown),
    (_SIGNATURE + _LOCAL, _local),
    (_SIGNATURE + _PROXY, _proxied),
)
