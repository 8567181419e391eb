"""PROXY headers, from bytes alone; the package ``proxy-protocol`` makes them, and judges them too."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxyprotocol import ProxyProtocolChecksumError
from proxyprotocol.detect import ProxyProtocolDetect
from proxyprotocol.result import (
    ProxyResult,
    ProxyResultIPv4,
    ProxyResultIPv6,
    ProxyResultLocal,
    ProxyResultUnix,
    ProxyResultUnknown,
)
from proxyprotocol.tlv import ProxyProtocolTLV
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from tsserv.connections.address import UNIX, Client
from tsserv.layers.proxyheader import Header, NotAHeader, parse_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

V4 = Client("192.0.2.1", 4711)
V6 = Client("2001:db8::1", 4711)


def binary(command: int, kind: int, block: bytes, length: int | None = None) -> bytes:
    """Return a header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, kind, len(block) if length is None else length) + block


V4_BLOCK = IPv4("192.0.2.1").packed + IPv4("192.0.2.9").packed + struct.pack("!HH", 4711, 443)
V6_BLOCK = IPv6("2001:db8::1").packed + IPv6("2001:db8::9").packed + struct.pack("!HH", 4711, 443)
UNIX_BLOCK = b"/run/\x1b[2J\n".ljust(108, b"\0") + b"/run/sock".ljust(108, b"\0")
TLV = b"\x04\x00\x05hello"

VALID: list[tuple[bytes, Client | None]] = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n", V4),
    (b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", Client("255.255.255.255", 65535)),
    (b"PROXY TCP6 2001:DB8:0::0:1 2001:db8::9 4711 443\r\n", V6),
    (
        b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
        Client("ffff:" * 7 + "ffff", 65535),
    ),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 0\r\n", Client("192.0.2.1", 0)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n", None),
    (b"PROXY UNKNOWN \n\r \xff\0\r\n", None),
    (binary(0x21, 0x11, V4_BLOCK), V4),
    (binary(0x21, 0x11, V4_BLOCK + TLV), V4),
    (binary(0x21, 0x11, V4_BLOCK.ljust(65535)), V4),
    (binary(0x21, 0x21, V6_BLOCK), V6),
    (binary(0x21, 0x21, V6_BLOCK + TLV), V6),
    (binary(0x21, 0x31, UNIX_BLOCK), UNIX),
    (binary(0x21, 0x00, b""), None),
    (binary(0x21, 0x00, b"whatever"), None),
    (binary(0x21, 0x12, V4_BLOCK), None),  # datagrams
    (binary(0x21, 0x22, V6_BLOCK), None),
    (binary(0x21, 0x32, b""), None),
    (binary(0x21, 0x10, b""), None),
    (binary(0x21, 0x01, b""), None),
    (binary(0x20, 0x00, b""), None),  # LOCAL
    (binary(0x20, 0x11, V4_BLOCK), None),
    (binary(0x20, 0x11, b""), None),
    (binary(0x20, 0xFF, b"\0" * 65535), None),
]

#: With each, how many bytes tell that it is none.
JUNK = [
    (b"\0", 1),
    (b"GET / HTTP/1.1\r\n", 1),
    (b"PRIVMSG", 3),
    (b"PROXY\r\n", 6),
    (b"PROXY  TCP4 192.0.2.1 192.0.2.9 4711 443\r\n", 7),
    (b"PROXY TCP5", 10),
    (b"PROXY tcp4", 7),
    (b"PROXY TCP4\t", 11),
    (b"PROXY UDP4 ", 8),
    (b"PROXY UNKNOWN\n", 14),
    (b"PROXY UNKNOWN\r\0", 15),
    (b"PROXY UNKNOWNS\r\n", 14),
    (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", 107),
    (b"PROXY TCP4 " + b"1" * 200, 107),
    *(
        (b"PROXY " + line + b"\r\n", len(line) + 8)
        for line in (
            b"TCP4 ",
            b"TCP4 192.0.2.1 192.0.2.9 4711",
            b"TCP4 192.0.2.1 192.0.2.9 4711 443 ",
            b"TCP4 192.0.2.1 192.0.2.9 4711 443\n",
            b"TCP4  192.0.2.1 192.0.2.9 4711 443",
            b"TCP4 192.0.2.1 192.0.2.9 4711  443",
            b"TCP4 192.0.2.1 192.0.2.9 4711 443 1",
            b"TCP4 192.0.2.01 192.0.2.9 4711 443",
            b"TCP4 192.0.2 192.0.2.9 4711 443",
            b"TCP4 192.0.2.256 192.0.2.9 4711 443",
            b"TCP4 192.0.2.1 192.0.2.9/24 4711 443",
            b"TCP4 192.0.2.1 localhost 4711 443",
            b"TCP4 192.0.2.\xd9\xa1 192.0.2.9 4711 443",  # a digit, but an Arabic one
            b"TCP4 192.0.2.\xff 192.0.2.9 4711 443",
            b"TCP4 ::1 ::1 4711 443",
            b"TCP6 192.0.2.1 192.0.2.9 4711 443",
            b"TCP6 ::1%eth0 ::1 4711 443",
            b"TCP6 ::1 ::1%\x1b[2J 4711 443",
            b"TCP6 1::2::3 ::1 4711 443",
            b"TCP6 12345::1 ::1 4711 443",
            b"TCP6 1:2:3:4:5:6:7 ::1 4711 443",
            b"TCP4 192.0.2.1 192.0.2.9 65536 443",
            b"TCP4 192.0.2.1 192.0.2.9 4711 65536",
            b"TCP4 192.0.2.1 192.0.2.9 04711 443",
            b"TCP4 192.0.2.1 192.0.2.9 4711 00",
            b"TCP4 192.0.2.1 192.0.2.9 +4711 443",
            b"TCP4 192.0.2.1 192.0.2.9 -1 443",
            b"TCP4 192.0.2.1 192.0.2.9 4_711 443",
            b"TCP4 192.0.2.1 192.0.2.9 " + b"9" * 60 + b" 443",
        )
    ),
    (SIGNATURE[:11] + b"\r", 12),
    (binary(0x11, 0x11, V4_BLOCK), 13),
    (binary(0x22, 0x11, V4_BLOCK), 13),
    (binary(0x31, 0x11, V4_BLOCK), 13),
    (binary(0x21, 0x41, V4_BLOCK), 14),
    (binary(0x21, 0x13, V4_BLOCK), 14),
    (binary(0x21, 0x11, V4_BLOCK, 11), 16),
    (binary(0x21, 0x21, V6_BLOCK, 35), 16),
    (binary(0x21, 0x31, UNIX_BLOCK, 215), 16),
]


def outcome(data: bytes) -> Header | str | None:
    """Return what becomes of ``data``: a header, nothing yet, or a refusal."""
    try:
        return parse_header(bytearray(data))
    except NotAHeader:
        return "refused"


@pytest.mark.parametrize(("data", "client"), VALID)
def test_a_header_names_the_client_as_soon_as_it_is_whole(data: bytes, client: Client | None) -> None:
    for size in {*range(min(300, len(data))), len(data) - 1}:
        assert outcome(data[:size]) is None
    for rest in (b"", b"\r\n", data):
        assert outcome(data + rest) == (len(data), client)


@pytest.mark.parametrize(("data", "size"), JUNK)
def test_junk_is_refused_as_early_as_it_can_be_told(data: bytes, size: int) -> None:
    assert outcome(data[: size - 1]) is None
    assert outcome(data[:size]) == "refused"
    assert outcome(data) == "refused"


@pytest.mark.parametrize(
    ("address", "host"), [("::ffff:192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0::1", "2001:db8::1")]
)
def test_a_host_is_the_same_however_a_proxy_writes_it(address: str, host: str) -> None:
    """And as the system writes it: ``--max-connections-per-host`` goes by it."""
    for data in (
        f"PROXY TCP6 {address} ::1 4711 443\r\n".encode(),
        binary(0x21, 0x21, IPv6(address).packed + V6_BLOCK[16:]),
    ):
        header = outcome(data)
        assert isinstance(header, Header)
        assert header.client == Client(host, 4711)


# What the other implementation makes and takes.
PORTS = st.integers(0, 65535)
ENDS4 = st.tuples(st.builds(IPv4, st.integers(0, 2**32 - 1)), PORTS)
ENDS6 = st.tuples(st.builds(IPv6, st.integers(0, 2**128 - 1)), PORTS)
PATHS = st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=108)
RESULTS = (
    st.builds(ProxyResultIPv4, ENDS4, ENDS4, protocol=st.just(socket.SOCK_STREAM))
    | st.builds(ProxyResultIPv6, ENDS6, ENDS6, protocol=st.just(socket.SOCK_STREAM))
    | st.builds(ProxyResultUnknown)
)
BINARY_RESULTS = (
    RESULTS
    | st.builds(ProxyResultUnix, PATHS, PATHS, protocol=st.just(socket.SOCK_STREAM))
    | st.builds(ProxyResultLocal, tlv=st.builds(ProxyProtocolTLV, init=st.just({0xE0: b"x" * 4000})))
)
MADE = st.tuples(RESULTS, st.just(ProxyProtocolV1())) | st.tuples(BINARY_RESULTS, st.just(ProxyProtocolV2()))
HEADERS = MADE.map(lambda made: made[1].pack(made[0]))


def named(result: ProxyResult) -> tuple[str, int | None] | None:
    """Return host and port of the client that the other implementation sees."""
    if isinstance(result, (ProxyResultIPv4, ProxyResultIPv6)):
        address, port = result.source
        host = getattr(address, "ipv4_mapped", None) or address
        return str(host), port
    return ("unix", None) if isinstance(result, ProxyResultUnix) else None


def seen(header: Header) -> tuple[str, int | None] | None:
    """Return host and port of the client that we see, an address as Python writes it."""
    if header.client is None:
        return None
    host, port, _ = header.client
    return (host if host == "unix" else str(ip_address(host))), port


@given(MADE, st.binary())
def test_reads_what_another_implementation_writes(
    made: tuple[ProxyResult, ProxyProtocolV1 | ProxyProtocolV2], rest: bytes
) -> None:
    result, maker = made
    data = maker.pack(result)
    header = outcome(data + rest)
    assert isinstance(header, Header)
    assert (header.size, seen(header)) == (len(data), named(result))


# Nearly a header, or anything.
PIECES = st.sampled_from([b" ", b"\r\n", b"0", b"%", b":", b".", b"-"]) | st.binary(max_size=3)
NEARLY = st.builds(
    lambda data, place, piece, gone: data[: place % len(data)] + piece + data[place % len(data) + gone :],
    HEADERS,
    st.integers(0, 200),
    PIECES,
    st.integers(0, 3),
)
ANYTHING = HEADERS | NEARLY | st.builds(bytes.__add__, NEARLY, st.binary(max_size=200)) | st.binary()


@given(ANYTHING)
def test_a_client_that_is_named_here_is_named_there_too(data: bytes) -> None:
    header = outcome(data)
    if isinstance(header, Header) and header.client not in (None, UNIX):
        try:
            result = ProxyProtocolDetect().unpack(data[: header.size])
        except ProxyProtocolChecksumError as error:  # extensions are skipped here
            result = error.result
        assert seen(header) == named(result)


@given(ANYTHING)
def test_byte_by_byte_it_comes_to_the_same(data: bytes) -> None:
    """Nothing until it can be told, and no other word after that."""
    steps = [outcome(data[:size]) for size in range(len(data) + 1)]
    told = next((size for size, step in enumerate(steps) if step is not None), len(data) + 1)
    assert all(step == outcome(data) for step in steps[told:])
    header = outcome(data)
    if isinstance(header, Header):
        assert header.size == told


@given(st.sampled_from([data for data, _ in VALID]), st.integers(11, 40), st.binary(max_size=200))
def test_it_is_told_within_the_longest_header(data: bytes, kept: int, rest: bytes) -> None:
    text = data.startswith(b"PROXY")
    data = data[:kept] + rest
    assert outcome(data.ljust(107 if text else 16 + 65535, b"x")) is not None
