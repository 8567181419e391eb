"""The protocol and its factory, over a connection in memory."""

from __future__ import annotations

import pytest
from fakes import NOW, Client, Service, connect
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory, ITCPTransport
from zope.interface.verify import verifyObject

TAKES_NOTHING = 0


@pytest.fixture
def service() -> Service:
    """Return a service in chunk framing."""
    return Service()


@pytest.fixture
def client(service: Service) -> Client:
    """Return a client of it."""
    return connect(service)


def test_keeps_to_the_interfaces(service: Service, client: Client) -> None:
    assert verifyObject(IProtocol, client.protocol)
    assert verifyObject(IHalfCloseableProtocol, client.protocol)
    assert verifyObject(ITCPTransport, client.transport)
    assert verifyObject(IProtocolFactory, service.factory)


@pytest.mark.parametrize("chunk", [b"\n", b"hello\r\n", bytes(range(256)), b"%s%n", b"x" * 65536])
def test_answers_a_chunk_with_the_stamp_and_the_chunk_in_one_write(
    chunk: bytes, service: Service, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    monkeypatch.setattr(type(client.transport), "write", lambda self, data: writes.append(data))
    client.socket.inbox.append(chunk)
    service.run()
    assert writes == [NOW + chunk]


def test_logs_who_has_come(logged: list[str]) -> None:
    service = Service(log_connections="both")
    service.connect("192.0.2.1")
    service.connect("::ffff:192.0.2.2")
    service.connect("2001:db8::1")
    service.run(0.125)
    assert logged == [f"...connected from: {host}" for host in ("192.0.2.1", "192.0.2.2", "2001:db8::1")]


def test_a_half_closed_client_gets_everything_and_then_the_end(service: Service, client: Client) -> None:
    client.socket.room = 10
    client.socket.inbox += [b"a" * 60000, b"b"]
    client.socket.ended = True
    service.run()
    assert client.socket.closed is None
    client.socket.room = 1 << 20
    service.run()
    assert client.socket.taken == NOW + b"a" * 60000 + NOW + b"b"
    assert client.socket.closed == "orderly"


def test_a_half_closed_client_that_was_paused_gets_everything_too(service: Service, client: Client) -> None:
    client.socket.room = TAKES_NOTHING
    client.socket.inbox += [b"x" * 65536] * 3
    client.socket.ended = True
    service.run()
    assert not client.reading
    client.socket.room = 1 << 20
    service.run()
    assert client.socket.taken == (NOW + b"x" * 65536) * 3
    assert client.socket.closed == "orderly"


def test_a_paused_connection_can_be_finished(service: Service, client: Client) -> None:
    client.socket.room = TAKES_NOTHING
    client.socket.inbox.append(b"x" * 65536)
    service.run()
    assert not client.reading
    client.protocol.finish("")
    client.socket.room = 1 << 20
    service.run()
    assert client.socket.taken == NOW + b"x" * 65536
    assert client.socket.closed == "orderly"


def test_twisted_names_the_client_in_its_log_lines(client: Client) -> None:
    assert client.transport.logPrefix() == "TimestampProtocol,0,192.0.2.1"
    assert repr(client.transport) == "<TimestampProtocol #0 on None>"


def test_a_client_that_takes_nothing_is_paused_and_goes_on_when_it_takes_again(
    service: Service, client: Client
) -> None:
    client.socket.room = TAKES_NOTHING
    client.socket.inbox += [b"x" * 65536] * 100
    service.run()
    assert not client.reading
    assert client.unsent <= 2 * (65536 + len(NOW))
    other = connect(service)
    other.socket.inbox.append(b"y")
    service.run()
    assert other.socket.taken == NOW + b"y"
    client.socket.room = 1 << 30
    service.run()
    assert client.socket.taken == (NOW + b"x" * 65536) * 100


def test_a_flood_of_newlines_in_line_framing_is_held_to_512_kib() -> None:
    service = Service(framing="line")
    client = connect(service)
    client.socket.room = TAKES_NOTHING
    client.socket.inbox += [b"\n" * 65536] * 100
    service.run()
    assert not client.reading
    assert 65536 < client.unsent <= 512 * 1024


def test_a_lost_connection_makes_room_for_another() -> None:
    service = Service(max_connections=1)
    client = connect(service)
    assert service.connect() is None
    client.socket.room = TAKES_NOTHING
    client.socket.inbox.append(b"x" * 100)
    service.run()
    client.socket.broken = True
    service.run()
    assert client.socket.closed is not None
    connect(service)
