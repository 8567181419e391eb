"""The protocol and its factory, over a connection in memory."""

from __future__ import annotations

import pytest
from fakes import FakeTCPTransport
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProtocol, IProtocolFactory, ITCPTransport
from zope.interface.verify import verifyObject

from tsserv.protocol import TimestampFactory, TimestampProtocol, host_of

PEER = IPv4Address("TCP", "192.0.2.1", 4711)


def connected() -> tuple[TimestampProtocol, FakeTCPTransport]:
    """Return a protocol whose clock stands still, and its transport."""
    protocol = TimestampFactory(lambda: b"[now] ").buildProtocol(PEER)
    transport = FakeTCPTransport(peerAddress=PEER)
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return protocol, transport


def test_keeps_to_the_interfaces() -> None:
    protocol, transport = connected()
    assert verifyObject(IProtocol, protocol)
    assert verifyObject(ITCPTransport, transport)
    assert verifyObject(IProtocolFactory, TimestampFactory(bytes))


@pytest.mark.parametrize("chunk", [b"\n", b"hello\r\n", bytes(range(256)), b"%s%n", b"x" * 65536])
def test_answers_a_chunk_with_the_stamp_and_the_chunk_in_one_write(chunk: bytes) -> None:
    protocol, transport = connected()
    protocol.dataReceived(chunk)
    assert transport.writes == [b"[now] " + chunk]


def test_asks_for_the_time_at_each_chunk() -> None:
    stamps = iter([b"[1] ", b"[2] "])
    protocol = TimestampFactory(lambda: next(stamps)).buildProtocol(PEER)
    transport = FakeTCPTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"a")
    protocol.dataReceived(b"b")
    assert transport.value() == b"[1] a[2] b"


def test_sends_small_answers_at_once_and_notices_dead_peers() -> None:
    _, transport = connected()
    assert transport.getTcpNoDelay()
    assert transport.getTcpKeepAlive()


def test_logs_who_has_come(logged: list[str]) -> None:
    connected()
    assert logged == ["...connected from: 192.0.2.1"]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("2001:db8::ffff:1", "2001:db8::ffff:1"),
        ("::ffff:0:c000:201", "::ffff:0:c000:201"),  # RFC 2765's translated addresses are not mapped ones
    ],
)
def test_an_ipv4_client_of_an_ipv6_listener_is_shown_as_ipv4(host: str, shown: str) -> None:
    assert host_of(IPv6Address("TCP", host, 4711)) == shown
