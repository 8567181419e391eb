"""Connections that begin with a PROXY header, in memory."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import pairwise

import pytest
from fakes import NOW, Client, Service, ends
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.testing import StringTransport
from zope.interface.verify import verifyObject

from tsserv.framing import ChunkFraming
from tsserv.layers.proxy import ProxyFactory

#: The place whose clients are proxies of this machine.
BEHIND_A_PROXY = "proxy+tcp:0"

PROXY = "127.0.0.1"
HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n"
OTHER = b"PROXY TCP4 192.0.2.2 192.0.2.9 4711 443\r\n"
UNKNOWN = b"PROXY UNKNOWN\r\n"
ITSELF = b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 21567\r\n"  # its own end of the connection
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"
UNIX = SIGNATURE + b"\x21\x31\0\xd8" + b"/tmp/\x1b[2J\n...forged".ljust(216, b"\0")


def come(service: Service, *pieces: bytes, ended: bool = False) -> Client:
    """Return a client of whom the proxy has passed on ``pieces``, one read each."""
    client = service.connect(PROXY)
    assert client is not None
    client.socket.inbox += pieces
    client.socket.ended = ended
    service.run()
    return client


@pytest.fixture
def service() -> Service:
    """Return a service behind a proxy, which logs when connections open and end."""
    return Service(BEHIND_A_PROXY, log_connections="both")


def test_keeps_to_the_interfaces(service: Service) -> None:
    assert verifyObject(IProtocolFactory, service.factory)
    assert verifyObject(IProtocol, come(service).protocol)


@pytest.mark.parametrize(
    ("header", "host"),
    [(HEADER, "192.0.2.1"), (b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n", "2001:db8::1"), (UNIX, "unix")],
)
def test_the_client_is_served_and_logged_by_its_own_address(
    header: bytes, host: str, service: Service, logged: list[str]
) -> None:
    client = come(service, header + b"hello\n", b"again\n", ended=True)
    assert client.socket.taken == NOW + b"hello\n" + NOW + b"again\n"
    assert ends(client) == ["orderly"]
    service.run(1)
    opened, closed = logged
    assert opened == f"...connected from: {host}"
    assert closed.startswith(f"...closed: {host}{'' if host == 'unix' else ' port 4711'}, 12 bytes in, ")
    assert len(service.connections) == 0


@given(
    st.binary(max_size=100), st.lists(st.integers(0, 200)), st.sampled_from([HEADER, UNKNOWN, LOCAL, UNIX])
)
def test_no_byte_is_lost_wherever_the_network_cuts(data: bytes, cuts: list[int], header: bytes) -> None:
    service = Service(BEHIND_A_PROXY, framing="line")
    stream = header + data
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    client = come(service, *pieces, ended=True)
    assert client.socket.taken.replace(NOW, b"") == data
    assert ends(client) == ["orderly"]


def test_what_comes_behind_the_header_is_read_in_the_sizes_of_the_framing(service: Service) -> None:
    client = come(service, HEADER + b"x" * 100_000)
    sizes = [len(piece) for piece in client.socket.read]
    assert sizes == [4096, ChunkFraming.read_size, 100_000 + len(HEADER) - 4096 - ChunkFraming.read_size]
    assert client.socket.taken.count(NOW) == 3


@pytest.mark.parametrize("header", [UNKNOWN, LOCAL, ITSELF])
def test_a_header_without_a_client_is_served_as_the_proxys_own(
    header: bytes, service: Service, logged: list[str]
) -> None:
    service.run(5)
    client = come(service, header, b"hello", ended=True)
    assert client.socket.taken == NOW + b"hello"
    service.run(1)
    [line] = logged
    assert line.startswith("...closed: 127.0.0.1 port 4711, 5 bytes in, ")
    assert line.endswith(", chunks: 1, 0.000 s, ended by the client")


@pytest.mark.parametrize("pieces", [[], [UNKNOWN], [ITSELF], [LOCAL], [LOCAL[:-1], LOCAL[-1:]]])
@pytest.mark.parametrize("way", ["ended", "broken"])
def test_health_checks_leave_no_line(
    pieces: list[bytes], way: str, service: Service, logged: list[str]
) -> None:
    client = come(service, *pieces)
    setattr(client.socket, way, True)
    service.run(30)
    assert ends(client) != [None]
    assert logged == []


def test_another_client_on_the_proxys_machine_is_logged(service: Service, logged: list[str]) -> None:
    come(service, ITSELF.replace(b"4711", b"4712"))
    service.run(1)
    assert logged == ["...connected from: 127.0.0.1"]


def test_a_unix_client_of_a_proxy_on_a_unix_socket_is_logged(service: Service, logged: list[str]) -> None:
    protocol = service.factory.buildProtocol(UNIXAddress(None))
    assert protocol is not None
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(UNIX)
    service.run(1)
    assert logged == ["...connected from: unix"]


def test_junk_is_closed_without_an_answer_and_counted(service: Service, logged: list[str]) -> None:
    clients = [
        come(service, *pieces)
        for pieces in ([b"GET / HTTP/1.1\r\n"], [b"PROXY ", b"TCP9"], [b"\x16\x03\x01" * 9999], [HEADER[1:]])
    ]
    assert ends(*clients) == ["reset"] * 4
    assert {bytes(client.socket.taken) for client in clients} == {b""}
    service.run(30)
    assert logged == [
        "closing a connection from 127.0.0.1 without a valid PROXY header: unknown beginning",
        "connections closed without a valid PROXY header: 4",
    ]
    assert len(service.connections) == 0


def test_a_header_has_five_seconds(service: Service, logged: list[str]) -> None:
    silent, slow, served = come(service), come(service, HEADER[:-1]), come(service, HEADER)
    service.run(4.875)
    assert ends(silent, slow, served) == [None] * 3
    service.run(0.125)
    assert ends(silent, slow, served) == ["reset", "reset", None]
    service.run(30)
    assert [line for line in logged if "header" in line] == [
        "closing connections whose PROXY header is not complete within 5 s",
        "connections closed whose PROXY header took too long: 2",
    ]
    assert ends(served) == [None]


@pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"])
def test_who_is_no_trusted_proxy_is_closed_at_once_and_counted(
    host: str, service: Service, logged: list[str]
) -> None:
    assert [service.connect(host) for _ in range(3)] == [None] * 3
    service.run(30)
    assert logged == [
        f"closing connections from {host.removeprefix('::ffff:')}: it is not a trusted proxy (--proxy-trust)",
        "connections closed that did not come from a trusted proxy: 3",
    ]


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        (IPv4Address("TCP", "10.1.2.3", 1), True),
        (IPv4Address("TCP", "10.2.0.0", 1), False),
        (IPv4Address("TCP", "127.0.0.1", 1), False),
        (IPv6Address("TCP", "::ffff:10.1.2.3", 1), True),
        (IPv6Address("TCP", "fe80::1%eth0", 1), True),
        (IPv6Address("TCP", "2001:db8::1", 1), True),
        (IPv6Address("TCP", "2001:db8::2", 1), False),
        (UNIXAddress(None), True),  # let in by the mode of the socket
        (HostnameAddress(b"example.org", 1), False),
        (None, False),
    ],
)
def test_proxies_are_trusted_by_network(address: IAddress | None, trusted: bool) -> None:
    service = Service()
    networks = [ip_network(text) for text in ("10.1.0.0/16", "fe80::/10", "2001:db8::1")]
    factory = ProxyFactory(service.factory, networks, service.connections, service.reactor)
    assert (factory.buildProtocol(address) is not None) == trusted


def test_connections_without_a_header_yet_count_and_are_not_counted_twice() -> None:
    service = Service(BEHIND_A_PROXY, max_connections=2)
    first, second = come(service), come(service)
    assert len(service.connections) == 2
    for client in (first, second):
        client.socket.inbox.append(HEADER + b"x")
        service.run()
        assert client.socket.taken == NOW + b"x"
        assert len(service.connections) == 2
    assert service.connect(PROXY) is None


def test_the_cap_for_a_host_is_for_clients_and_not_for_the_proxy(logged: list[str]) -> None:
    service = Service(BEHIND_A_PROXY, max_connections_per_host=1)
    clients = [come(service, header, b"x") for header in (HEADER, HEADER, OTHER, LOCAL)]
    assert ends(*clients) == [None, "orderly", None, None]
    assert [bytes(client.socket.taken) for client in clients] == [NOW + b"x", b"", NOW + b"x", NOW + b"x"]
    assert logged == ["refusing connections from 192.0.2.1: 1 are open (--max-connections-per-host)"]
    clients[0].socket.ended = True
    service.run()
    assert come(service, HEADER, b"x").socket.taken == NOW + b"x"


def test_the_last_header_comes_while_the_service_stops() -> None:
    service = Service(BEHIND_A_PROXY, drain_timeout=5.0)
    client = come(service)
    done = service.stop()
    assert not done.called
    client.socket.inbox += [HEADER, b"x"]
    service.run()
    assert client.socket.taken == NOW + b"x"
    assert not done.called
    client.socket.ended = True
    service.run()
    assert done.called


def test_a_client_that_leaves_within_its_header_is_forgotten(service: Service, logged: list[str]) -> None:
    client = come(service, HEADER[:20], ended=True)
    assert ends(client) == ["orderly"]
    assert len(service.connections) == 0
    service.run(30)
    assert logged == []
