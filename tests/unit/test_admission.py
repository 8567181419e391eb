"""Who may connect."""

from __future__ import annotations

import resource
from typing import cast

import pytest
from certificates import Files
from fakes import NOW, Service, ends
from fakes import Client as FakeClient
from hellos import X25519, hello
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from tsserv.connections.address import UNIX, UNKNOWN, Client, client_at
from tsserv.connections.limits import HostLimit, most_connections
from tsserv.layers.credentials import Credentials
from tsserv.layers.proxy import ProxyFactory
from tsserv.layers.tls import TLSFactory
from tsserv.optiontable import PROXY_TRUST
from tsserv.protocol import TimestampFactory

HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n"


def lose(service: Service, client: FakeClient | None) -> None:
    """Have a client reset its connection."""
    assert client is not None
    client.socket.broken = True
    service.run()


def test_above_the_most_connections_new_ones_are_refused_until_one_ends(logged: list[str]) -> None:
    service = Service(max_connections=2)
    first, second = service.connect(), service.connect()
    assert [service.connect() for _ in range(100)] == [None] * 100
    lose(service, first)
    assert service.connect()
    assert service.connect() is None
    lose(service, second)
    service.run(30)
    assert [line for line in logged if "refus" in line] == [
        "refusing connections: 2 are open (--max-connections)",
        "connections refused above --max-connections: 101",
    ]


@pytest.mark.parametrize(
    ("host", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"),
        ("fe80::1%eth0", "fe80::2%eth0", "fe80::1%eth1"),
    ],
)
def test_one_host_has_so_many_connections_and_others_have_theirs(
    host: str, same: str, other: str, logged: list[str]
) -> None:
    service = Service(max_connections_per_host=2)
    first = service.connect(host)
    assert service.connect(same)
    assert service.connect(host) is None
    assert service.connect(same) is None
    assert service.connect(other)
    lose(service, first)
    assert service.connect(same)
    service.run(30)
    assert [line for line in logged if "refus" in line] == [
        f"refusing connections from {host}: 2 are open (--max-connections-per-host)",
        "connections refused above --max-connections-per-host: 2",
    ]


def test_hosts_that_have_left_take_no_memory() -> None:
    limit = HostLimit(2)
    for number in range(256):
        limit.add(f"192.0.2.{number}")
        limit.remove(f"192.0.2.{number}")
    assert limit._open == {}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]))))
def test_the_counts_are_those_of_the_open_connections(steps: list[tuple[bool, str]]) -> None:
    limit = HostLimit(2)
    inside: list[str] = []
    for comes, host in steps:
        if comes:
            assert limit.reached(host) == (inside.count(host) >= 2)
            inside.append(host)
            limit.add(host)
        elif host in inside:
            inside.remove(host)
            limit.remove(host)


def test_a_host_that_is_not_known_is_not_counted() -> None:
    limit = HostLimit(1)
    for _ in range(2):
        assert not limit.reached(UNKNOWN.host)
        limit.add(UNKNOWN.host)
    limit.remove(UNKNOWN.host)


@pytest.mark.parametrize(
    ("limit", "listeners", "most"),
    [(1024, 1, 992), (1024, 25, 968), (64, 1, 32), (20, 1, 1), (resource.RLIM_INFINITY, 9, 2**31 - 1)],
)
def test_the_most_connections_are_the_descriptors_less_a_reserve(
    limit: int, listeners: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most_connections(listeners) == most


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
    assert client_at(IPv6Address("TCP", host, 4711)) == Client(shown, 4711)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        (IPv4Address("TCP", "192.0.2.1", 4711), Client("192.0.2.1", 4711)),
        (UNIXAddress(b"/sock"), UNIX),
        (None, UNKNOWN),
    ],
)
def test_every_address_is_that_of_a_client(address: IAddress | None, client: Client) -> None:
    assert client_at(address) == client


class Places:
    """
    Two places of one service: one without layers, and one where something comes before the service.

    :param layers: of the second place: ``proxy``, ``tls`` or both.
    :param service: has the first place.
    """

    def __init__(self, layers: str, files: Files, service: Service) -> None:
        self.service = service
        self._plain = self._with_preface = service.factory
        connections, reactor = service.connections, service.reactor
        if "tls" in layers:
            credentials = Credentials(str(files.certificate), str(files.key))
            plain = cast(TimestampFactory, self._plain)
            self._with_preface = TLSFactory(plain, credentials, connections, reactor)
        if "proxy" in layers:
            self._with_preface = ProxyFactory(self._with_preface, PROXY_TRUST, connections, reactor)

    def begin(self, data: bytes = b"") -> FakeClient:
        """Return a client of the second place that has sent ``data``, which is not all that it must."""
        self.service.factory = self._with_preface
        client = self.service.connect("127.0.0.1")
        assert client is not None
        client.socket.inbox += [data] if data else []
        self.service.run()
        return client

    def plain(self, host: str = "192.0.2.1") -> FakeClient | None:
        """Return a client of the first place."""
        self.service.factory = self._plain
        return self.service.connect(host)


@pytest.mark.parametrize("layers", ["proxy", "tls", "proxy and tls"])
def test_connections_that_are_not_served_yet_keep_nobody_out(
    layers: str, files: Files, logged: list[str]
) -> None:
    places = Places(layers, files, Service(max_connections=20))
    silent = [places.begin() for _ in range(22)]
    assert ends(*silent) == ["reset"] * 2 + [None] * 20
    for number in range(100):
        client = places.plain()
        assert client is not None
        assert len(places.service.connections) == 20
        client.socket.inbox.append(b"x")
        places.service.run()
        assert client.socket.taken == NOW + b"x"
        if number % 10:  # some stay
            lose(places.service, client)
    assert ends(*silent) == ["reset"] * 13 + [None] * 9
    places.service.run(30)
    assert [line for line in logged if "let in" in line] == [
        "closing the oldest connections whose PROXY header or TLS handshake is not complete, to let in"
        " new ones: 20 are open (raise --max-connections, or keep out clients that send nothing)",
        "connections closed before their PROXY header or TLS handshake was complete, to let in new ones: 13",
    ]


def test_the_oldest_gives_way_however_far_it_is(files: Files) -> None:
    places = Places("proxy and tls", files, Service(max_connections=3))
    in_handshake = places.begin(HEADER + hello([X25519], [X25519]))
    in_hello, silent = places.begin(HEADER + b"\x16\x03\x01"), places.begin()
    for count in (1, 2):
        assert places.plain()
        # In the same turn, since the file descriptor is needed.
        assert ends(in_handshake, in_hello, silent).count("reset") == count
    assert ends(in_handshake, in_hello, silent) == ["reset", "reset", None]
    silent.socket.inbox.append(HEADER)  # the handshake takes the slot of the header
    places.service.run()
    assert ends(silent) == [None]
    assert places.plain()
    assert ends(silent) == ["reset"]
    assert places.plain() is None


@pytest.mark.parametrize(
    ("layers", "start"), [("proxy", HEADER[:6]), ("tls", b"\x16\x03\x01")], ids=["proxy", "tls"]
)
@pytest.mark.parametrize("is_read", [True, False])
def test_a_client_that_has_begun_has_a_second_before_it_gives_way_to_others_that_begin(
    layers: str, start: bytes, is_read: bool, files: Files, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    places = Places(layers, files, Service(max_connections=2))
    begun, silent = places.begin(start if is_read else b""), places.begin()
    monkeypatch.setattr("tsserv.connections.limits.waiting", lambda transport: transport is begun.transport)
    places.service.run(0.875)
    assert places.service.connect("127.0.0.1") is None
    assert ends(begun, silent) == [None, None]
    places.service.run(0.125)
    assert places.service.connect("127.0.0.1")
    assert places.service.connect("127.0.0.1")
    assert ends(begun, silent) == ["reset", "reset"]
    assert logged[0] == "refusing connections: 2 are open (--max-connections)"


def test_connections_that_are_served_give_way_to_nobody(files: Files, logged: list[str]) -> None:
    places = Places("proxy", files, Service(max_connections=2))
    served, other = places.begin(HEADER), places.begin(HEADER)
    assert places.plain() is None
    assert ends(served, other) == [None, None]
    assert logged == ["refusing connections: 2 are open (--max-connections)"]


def test_nobody_gives_way_to_a_host_that_has_its_share(files: Files) -> None:
    places = Places("proxy", files, Service(max_connections=2, max_connections_per_host=1))
    assert places.plain("192.0.2.1")
    silent = places.begin()
    assert places.plain("192.0.2.1") is None
    assert ends(silent) == [None]
    assert places.plain("192.0.2.2")
    assert ends(silent) == ["reset"]


def test_a_connection_that_is_being_aborted_may_give_way(files: Files) -> None:
    places = Places("tls", files, Service(max_connections=1))
    aborted = places.begin()
    aborted.protocol.abort("too late")
    assert ends(aborted) == [None]
    assert places.plain()
    assert ends(aborted) == ["reset"]
    places.service.run()
    assert len(places.service.connections) == 1


@pytest.mark.parametrize(
    ("layers", "data", "seconds"),
    [
        ("proxy", HEADER, 5),
        ("tls", hello([X25519], [X25519]), 10),
        ("tls", hello([X25519], [X25519]) + b"\x14\x03\x03\0\1\1" + b"\x17\x03\x03\1\0" + bytes(256), 10),
    ],
    ids=["PROXY header", "ClientHello", "after the ClientHello"],
)
def test_a_client_that_sends_byte_by_byte_has_no_more_time(
    layers: str, data: bytes, seconds: float, files: Files
) -> None:
    places = Places(layers, files, Service(idle_timeout=1))
    interval = 0.125
    sent = max(len(data) - int(seconds / interval) - 2, 0)  # the rest takes too long
    client = places.begin(data[:sent])
    while places.service.reactor.seconds() < seconds - interval:
        client.socket.inbox.append(data[sent : sent + 1])
        sent += 1
        places.service.run(interval)
        assert ends(client) == [None]
    places.service.run(2 * interval)
    assert ends(client) == ["reset"]
    assert len(places.service.connections) == 0
