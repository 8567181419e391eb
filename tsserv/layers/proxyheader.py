"""
PROXY protocol headers, versions 1 and 2: the address of the client for which a proxy connects.

The specification is https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt; sections below are its.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct
from typing import NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address

from tsserv.connections.address import UNIX, Client, client_at


class NotAHeader(ValueError):
    """No PROXY header begins like this, whatever follows; says why, in a few words."""


class Header(NamedTuple):
    """One header, complete and valid."""

    #: In bytes; the client's own data comes after them.
    size: int
    #: ``None`` if the header names no client: the proxy may have connected for itself.
    client: Client | None


def parse_header(data: bytearray) -> Header | None:
    """
    Find the header at the beginning of a connection.

    :param data: all that has been received.
    :return: ``None`` while the header is not complete.
    :raises NotAHeader: as soon as the beginning is not that of a header, or it is too long, or its fields
        are invalid; the fields of a line are checked when the line is complete.
    """
    for start, parse in _FORMS:
        if data.startswith(start):
            return parse(data)
        if start.startswith(data):
            return None
    raise NotAHeader("unknown beginning")


def _client(packed: bytes, port: int) -> Client:
    """Return a client as if it had connected without a proxy."""
    if len(packed) == 4:
        return client_at(IPv4Address("TCP", inet_ntop(AF_INET, packed), port))
    return client_at(IPv6Address("TCP", inet_ntop(AF_INET6, packed), port))


# Version 1, a line of text (section 2.1)

# With the CRLF at its end.
_LONGEST_LINE = 107

# What comes after `PROXY TCP4 ` or `PROXY TCP6 `: two addresses, which ipaddress checks but for the zones
# that IPv6 may have elsewhere, and two ports.
_FIELDS = re.compile(b"([^ %]+) ([^ %]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})")


def _end_of_line(data: bytearray) -> int:
    """Return where the CRLF is, or -1 if it may still arrive."""
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

# Version and command.  LOCAL is for connections that a proxy makes for itself.
_LOCAL, _PROXY = b"\x20", b"\x21"

# Family and protocol, and for each the layout of the addresses, of which the source's is unpacked.  Other
# valid values, such as those for datagrams, are taken for UNSPEC, as section 2.2 asks.
_UNSPEC, _TCP4, _TCP6, _UNIX_STREAM = 0x00, 0x11, 0x21, 0x31
_ADDRESSES = {_TCP4: Struct("!4s4xH2x"), _TCP6: Struct("!16s16xH2x"), _UNIX_STREAM: Struct("216x")}


def _proxied(data: bytearray) -> Header | None:
    kind = data[13] if len(data) > 13 else _UNSPEC
    if kind >> 4 > 3 or kind & 15 > 2:
        raise NotAHeader("unknown family or protocol")
    return _binary(data, kind)


def _local(data: bytearray) -> Header | None:
    return _binary(data, _UNSPEC)  # whatever family and protocol it names


def _binary(data: bytearray, kind: int) -> Header | None:
    if len(data) < 16:
        return None
    size = 16 + int.from_bytes(data[14:16], "big")
    addresses = _ADDRESSES.get(kind)
    if addresses and size < 16 + addresses.size:
        raise NotAHeader("too short for its addresses")
    if len(data) < size:
        return None
    client = None
    if addresses:
        source = addresses.unpack_from(data, 16)
        client = _client(*source) if source else UNIX  # whose path does not matter here
    return Header(size, client)


# The beginning of each form, and the function that parses the rest.
_FORMS: tuple[tuple[bytes, Callable[[bytearray], Header | None]], ...] = (
    (b"PROXY TCP4 ", lambda data: _tcp(data, ipaddress.IPv4Address)),
    (b"PROXY TCP6 ", lambda data: _tcp(data, ipaddress.IPv6Address)),
    (b"PROXY UNKNOWN ", _unknown),
    (b"PROXY UNKNOWN\r\n", _unknown),
    (_SIGNATURE + _LOCAL, _local),
    (_SIGNATURE + _PROXY, _proxied),
)
