"""Who may connect."""

from __future__ import annotations

import resource

import pytest
from fakes import Client as FakeClient
from fakes import Service
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from tsserv.connections.address import UNIX, UNKNOWN, Client, client_at
from tsserv.connections.limits import HostLimit, most_connections


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
