"""ClientHellos that OpenSSL must not see; and what it would do with those that it may see."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest
from certificates import Files
from hellos import FFDHE2048, FFDHE8192, P256, P384, SHARES, X448, X25519, extension, hello
from hypothesis import given
from hypothesis import strategies as st

from tsserv.layers.clienthello import ClientHello, RefusedHello

INVALID = "it does not begin with a valid ClientHello"
COSTLY = "it asks for a key exchange in a finite field, which costs too much"


def refusal(data: bytes) -> str:
    """Return why ``data`` is refused."""
    with pytest.raises(RefusedHello) as refused:
        ClientHello().feed(data)
    return str(refused.value)


def openssl_hello(version: ssl.TLSVersion) -> bytes:
    """Return the ClientHello of OpenSSL's own client."""
    context = ssl.create_default_context()
    context.minimum_version = context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    "data",
    [
        openssl_hello(ssl.TLSVersion.TLSv1_2),
        openssl_hello(ssl.TLSVersion.TLSv1_3),
        hello([X25519], [X25519]),
        hello([FFDHE8192, P256], []),
        hello([X25519, FFDHE2048, P256], [X25519, P256]),
        hello([P384], []),
        hello(),
    ],
)
def test_what_may_reach_openssl_is_complete_with_its_last_byte_in_whatever_pieces(data: bytes) -> None:
    for size in (1, 3, len(data) - 1):
        reader = ClientHello()
        pieces = [data[place : place + size] for place in range(0, len(data), size)]
        assert [reader.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert reader.received == data
    assert ClientHello().feed(data + b"the client's next records")


def test_a_message_may_be_cut_into_records() -> None:
    for shares, feed in [([X25519], ClientHello().feed), ([FFDHE2048], refusal)]:
        data = hello([X25519, FFDHE2048, P256], shares)
        records = [data[:3] + b"\0\1" + data[place : place + 1] for place in range(5, len(data))]
        assert feed(b"".join(records)) in (True, COSTLY)


@pytest.mark.parametrize(
    ("groups", "shares"),
    [
        ([FFDHE8192], [FFDHE8192]),
        ([X25519, P256, FFDHE8192], [FFDHE8192]),
        ([X25519, P256, FFDHE8192], [X25519, FFDHE8192]),
        ([FFDHE8192], []),
        ([X448, FFDHE2048], [X448]),
    ],
)
def test_finite_fields_are_refused_wherever_openssl_might_choose_one(
    groups: list[int], shares: list[int]
) -> None:
    assert refusal(hello(groups, shares)) == COSTLY


def test_what_is_longer_than_any_client_sends_is_refused() -> None:
    data = hello([X25519], [X25519], extension(0x4000, bytes(17000)))
    reader = ClientHello()
    assert not reader.feed(data[:16384])
    with pytest.raises(RefusedHello, match="its ClientHello is too long"):
        reader.feed(data[16384:16385])


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x15",
        b"\x16\x03\x01\x00\x01\x02",  # a handshake that begins with another message
        b"\x16\x03\x01\x00\x01\x01\x15",  # another record in the middle
        hello([X25519], [X25519], hello_end=b"x"),
        hello([X25519], [X25519], extension(51, bytes(2))),
        hello(None, None, extension(10, b"\0\2\0\x17\0")),
        hello(None, None, extension(10, b"\0\1\0")),
        hello(None, None, extension(51, b"\0\0\0")),
        hello(None, None, extension(51, b"\0\5\0\x1d\0\2\0")),
        hello(None, None, b"\0\x33\0\x05\0"),
        b"\x16\x03\x01\0\5\x01\0\0\1\3",
    ],
)
def test_what_openssl_might_read_in_another_way_is_refused(data: bytes) -> None:
    assert refusal(data) == INVALID


def chosen_group(answer: bytes) -> int | None:
    """Return the group that a server's first flight chooses, in a ServerHello or a HelloRetryRequest."""
    if not answer.startswith(b"\x16"):
        return None  # an alert
    body = answer[9:]
    place = 35 + body[34] + 3
    end = place + 2 + int.from_bytes(body[place : place + 2], "big")
    place += 2
    while place < end:
        kind, size = (int.from_bytes(body[at : at + 2], "big") for at in (place, place + 2))
        if kind == 51:
            return int.from_bytes(body[place + 4 : place + 6], "big")
        place += 4 + size
    return None


def openssl_answer(context: ssl.SSLContext, data: bytes) -> bytes:
    """Return what OpenSSL's server answers to ``data``."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(data)
    with suppress(ssl.SSLError):
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    return outgoing.read()


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Return what a server of ours hands to OpenSSL."""
    files = Files(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def test_openssl_would_choose_what_is_refused(context: ssl.SSLContext) -> None:
    """If this fails it has become wiser, and the refusal may go."""
    for groups, shares in [([X25519, FFDHE2048], [FFDHE2048]), ([FFDHE2048], [])]:
        assert chosen_group(openssl_answer(context, hello(groups, shares))) == FFDHE2048


@given(
    groups=st.lists(st.sampled_from(list(SHARES)), max_size=4),
    shares=st.lists(st.sampled_from(list(SHARES)), max_size=3),
    place=st.integers(0, 400),
    changed=st.binary(max_size=2),
    mutate=st.booleans(),
)
def test_openssl_never_chooses_a_finite_field_for_what_it_may_see(
    groups: list[int], shares: list[int], place: int, changed: bytes, mutate: bool, context: ssl.SSLContext
) -> None:
    data = hello(groups, shares)
    if mutate:
        data = data[:place] + changed + data[place + len(changed) :]
    with suppress(RefusedHello):
        if ClientHello().feed(data):
            group = chosen_group(openssl_answer(context, data))
            assert group is None or group >> 8 != 1
