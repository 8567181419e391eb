"""TLS with clients in memory."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest
import trustme
from certificates import Files
from fakes import NOW, Client, Service, connect
from hellos import FFDHE2048, FFDHE8192, P256, X25519, hello
from processes import STAMP

from tsserv.layers.credentials import Credentials
from tsserv.layers.tls import TLSFactory
from tsserv.protocol import TimestampFactory


class TLSClient:
    """A client that does TLS over a connection in memory."""

    def __init__(self, service: Service, files: Files) -> None:
        credentials = Credentials(str(files.certificate), str(files.key))
        plain = cast(TimestampFactory, service.factory)
        service.factory = TLSFactory(plain, credentials, service.connections, service.reactor)
        self.service = service
        self.client: Client = connect(service)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = files.context().wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._seen = 0
        self.encrypted = self.received = b""
        self.ended = False

    def turn(self, size: int = 1 << 20) -> None:
        """Exchange, in pieces of ``size`` bytes, what there is to exchange."""
        data = self._outgoing.read()
        sock = self.client.socket
        sock.inbox += [data[place : place + size] for place in range(0, len(data), size)]
        self.service.run()
        self._incoming.write(sock.taken[self._seen :])
        self._seen = len(sock.taken)

    def shake_hands(self, size: int = 1 << 20) -> None:
        """Do a handshake."""
        for _ in range(4):
            with suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
            self.turn(size)

    def send(self, data: bytes, size: int = 1 << 20) -> None:
        """Send, and take what comes."""
        self._tls.write(data)
        self.turn(size)
        self.take()

    def encrypt(self, data: bytes) -> None:
        """Encrypt and do not send."""
        self._tls.write(data)
        self.encrypted += self._outgoing.read()

    def take(self) -> None:
        """Decrypt what has come."""
        try:
            while data := self._tls.read(1 << 20):
                self.received += data
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True

    def say_that_it_ends(self) -> None:
        """End the client's side in TLS, and in TLS alone."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self.turn()


@pytest.fixture
def client(files: Files) -> TLSClient:
    """Return a client of a service in chunk framing, with a handshake done."""
    client = TLSClient(Service(), files)
    client.shake_hands()
    return client


@pytest.mark.parametrize("end", ["idle", "drain"])
def test_a_client_that_sends_a_record_slowly_is_not_idle(end: str, files: Files) -> None:
    """Only a whole record can be answered."""
    service = Service(idle_timeout=8 if end == "idle" else 0, drain_timeout=100)
    client = TLSClient(service, files)
    client.shake_hands()
    if end == "drain":
        service.stop()
    client.encrypt(b"x" * 20)
    for byte in client.encrypted:
        client.client.socket.inbox.append(bytes([byte]))
        service.run(0.5)
    client.turn()
    client.take()
    assert client.received == NOW + b"x" * 20


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1 << 20])
def test_a_handshake_and_data_may_come_in_any_pieces(size: int, files: Files) -> None:
    client = TLSClient(Service(), files)
    client.shake_hands(size)
    client.send(b"one", size)
    client.send(b"two", size)
    assert client.received == NOW + b"one" + NOW + b"two"


@pytest.mark.parametrize("way", ["in TLS", "below TLS", "both"])
def test_a_half_closed_client_gets_everything_and_then_the_end(way: str, client: TLSClient) -> None:
    client.client.socket.room = 10000
    for _ in range(3):
        client.send(b"x" * 16384)
    if way != "below TLS":
        client.say_that_it_ends()
    client.client.socket.ended = way != "in TLS"
    client.turn()
    assert client.client.socket.closed is None
    client.client.socket.room = 1 << 20
    client.turn()
    client.take()
    assert client.received == (NOW + b"x" * 16384) * 3
    assert client.ended
    assert client.client.socket.closed == "orderly"


def test_a_client_that_takes_nothing_is_paused_whatever_one_read_has_brought(files: Files) -> None:
    client = TLSClient(Service(framing="line"), files)
    client.shake_hands()
    client.client.socket.room = 0
    for _ in range(10):
        client.send(b"\n" * 16384)
    assert not client.client.reading
    assert 16384 < client.client.unsent <= 512 * 1024
    client.client.socket.room = 1 << 30
    client.turn()
    client.take()
    assert client.received == (NOW + b"\n") * 16384 * 10


@pytest.mark.parametrize("room", [1 << 30, 100_000], ids=["all", "a part"])
def test_two_records_in_one_read_are_not_both_answered_if_the_first_is_too_much(
    room: int, files: Files
) -> None:
    client = TLSClient(Service(framing="line"), files)
    client.shake_hands()
    client.client.socket.room = 0
    client.encrypt(b"\n" * 16384)
    client.encrypt(b"\n" * 16384)
    first = len(client.encrypted) // 2 - 1  # all but the last byte of a record
    for size in (first, len(client.encrypted)):
        client.client.socket.inbox.append(client.encrypted[:size])
        client.encrypted = client.encrypted[size:]
        client.service.run()
    assert not client.client.socket.inbox
    assert client.client.unsent <= 512 * 1024
    while not client.client.reading:
        client.client.socket.room = room
        client.turn()
    client.take()
    assert client.received == (NOW + b"\n") * 16384 * 2
    client.client.socket.inbox.append(bytes(1 << 20))
    client.turn()
    assert max(map(len, client.client.socket.read)) < 17000


def test_what_was_read_before_a_pause_is_answered_before_what_comes_after_it(client: TLSClient) -> None:
    client.client.socket.room = 0
    for number in range(10):
        client.send(b"%d" % number * 10000)
    client.client.socket.room = 1 << 30
    client.turn()
    client.send(b"last")
    client.say_that_it_ends()
    client.take()
    assert STAMP.sub(b"", client.received) == b"".join(b"%d" % n * 10000 for n in range(10)) + b"last"
    assert client.client.socket.closed == "orderly"


def test_a_read_is_as_long_as_128_records_are(client: TLSClient) -> None:
    for number in range(3000):
        client.encrypt(b"%d" % (number % 10))
    small = len(client.encrypted) / 3000
    for _ in range(4):
        client.encrypt(b"x" * 16384)
    client.client.socket.inbox.append(client.encrypted)
    client.client.socket.read.clear()
    client.turn()
    client.take()
    reads = [len(data) for data in client.client.socket.read]
    assert 127 < min(reads[1:10]) / small <= max(reads[1:10]) / small < 129
    assert reads[-2] > 16384
    numbers = b"".join(NOW + b"%d" % (number % 10) for number in range(3000))
    assert client.received == numbers + (NOW + b"x" * 16384) * 4


def send_small_records_and_read_nothing(client: TLSClient) -> None:
    """Have the service read 600 records whose answers it cannot send; it stops before it has answered all."""
    for _ in range(600):
        client.encrypt(b"x")
    client.client.socket.room = 0
    client.client.socket.inbox.append(client.encrypted)
    client.service.run()
    assert not client.client.reading
    assert 0 < client.client.unsent < 30000


@pytest.mark.parametrize("way", ["in TLS", "below TLS", "both"])
def test_an_end_is_not_seen_before_all_that_was_read_is_answered(way: str, client: TLSClient) -> None:
    for _ in range(100):
        client.encrypt(b"x")
    client.client.socket.inbox.append(client.encrypted)
    client.client.socket.ended = way != "in TLS"
    if way != "below TLS":
        client.say_that_it_ends()
    client.turn()
    client.take()
    assert client.received == (NOW + b"x") * 100
    assert client.ended
    assert client.client.socket.closed == "orderly"


@pytest.mark.parametrize("room", [1 << 30, 25000], ids=["all", "half"])
def test_a_pause_within_what_has_been_read_ends_when_the_client_reads(room: int, client: TLSClient) -> None:
    send_small_records_and_read_nothing(client)
    while not client.client.reading:
        client.client.socket.room = room
        client.turn()
    client.take()
    assert client.received == (NOW + b"x") * 600


def test_nothing_is_decrypted_after_the_close_notify_of_the_service(
    client: TLSClient, logged: list[str]
) -> None:
    send_small_records_and_read_nothing(client)
    client.service.connections.for_each(lambda connection: connection.finish("idle"))
    client.client.socket.room = 1 << 30
    client.turn()
    client.take()
    assert client.received in [(NOW + b"x") * count for count in range(1, 590)]
    assert client.ended
    assert not logged
    assert client.client.socket.closed == "orderly"


def count_as_unsent(monkeypatch: pytest.MonkeyPatch, count: Callable[[], int]) -> None:
    """Have the system say how many bytes the client has not acknowledged."""
    for module in ("lingering", "tlslayer"):
        monkeypatch.setattr(f"tsserv.layers.{module}.unsent", lambda transport: count())


def test_who_has_acknowledged_everything_and_ends_in_tls_is_closed_at_once(
    client: TLSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.send(b"x")
    sock = client.client.socket
    acknowledged = len(sock.taken)
    count_as_unsent(monkeypatch, lambda: len(sock.taken) - acknowledged)
    client.say_that_it_ends()
    assert sock.closed == "orderly"
    assert not client.service.reactor.getDelayedCalls()
    client.take()
    assert client.received == NOW + b"x"
    assert client.ended


def test_what_comes_after_a_close_notify_is_dropped_until_all_is_acknowledged(
    client: TLSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = 1
    count_as_unsent(monkeypatch, lambda: queued)
    client.send(b"x")
    client.say_that_it_ends()
    assert client.client.socket.half_closed
    held = client.client.protocol.received
    for _ in range(8):
        client.client.socket.inbox.append(b"not TLS")
        client.service.run(0.25)
        assert not client.client.socket.inbox
        assert client.client.socket.closed is None
    assert client.client.protocol.received == held
    client.service.connections.for_each(lambda connection: connection.finish("service stopped"))
    assert client.client.socket.closed is None
    client.take()
    assert client.received == NOW + b"x"
    assert client.ended
    queued = 0
    client.service.run(1)
    assert client.client.socket.closed == "orderly"
    assert not client.service.reactor.getDelayedCalls()


def test_the_end_of_the_stream_is_not_waited_for_for_ever(
    client: TLSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stall timeout does not see a client that acknowledges everything but the end."""
    queued = 1
    count_as_unsent(monkeypatch, lambda: queued)
    client.say_that_it_ends()
    client.service.run(5)
    queued = 2
    client.service.run(20)
    queued = 1
    client.service.run(4.25)
    assert client.client.socket.closed is None
    client.service.run(0.5)
    assert client.client.socket.closed == "orderly"
    assert len(client.service.connections) == 0


def test_who_ends_below_tls_too_has_everything_acknowledged_or_wants_nothing_more(
    client: TLSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_as_unsent(monkeypatch, lambda: 1)
    client.say_that_it_ends()
    assert client.client.socket.closed is None
    client.client.socket.ended = True
    client.turn()
    assert client.client.socket.closed == "orderly"
    assert not client.service.reactor.getDelayedCalls()


def test_who_hangs_in_the_handshake_is_closed_in_time_and_counted(files: Files, logged: list[str]) -> None:
    service = Service()
    client = TLSClient(service, files).client
    client.socket.inbox.append(b"\x16\x03\x01")
    service.run(9.75)
    assert client.socket.closed is None
    assert len(service.connections) == 1
    service.run(0.5)
    assert client.socket.closed == "reset"
    assert len(service.connections) == 0
    assert logged == ["closing connections that have not finished their TLS handshake in 10 s"]


def test_who_says_something_else_is_closed_and_counted(files: Files, logged: list[str]) -> None:
    service = Service(log_connections="both")
    client = TLSClient(service, files).client
    client.socket.inbox.append(b"GET / HTTP/1.0\r\n\r\n")
    service.run()
    assert client.socket.closed == "orderly"
    service.stop()
    assert logged == [
        "closing a connection from 192.0.2.1 that does not speak TLS: "
        "it does not begin with a valid ClientHello",
        "connections closed that did not speak TLS: 1",
    ]


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x01"])
def test_who_leaves_in_the_handshake_is_counted_if_anything_was_said(
    start: bytes, files: Files, logged: list[str]
) -> None:
    service = Service()
    client = TLSClient(service, files).client
    client.socket.inbox += [start] if start else []
    client.socket.ended = True
    service.run()
    assert client.socket.closed == "orderly"
    assert len(logged) == len(start) // 3


@pytest.mark.parametrize(
    ("groups", "shares"),
    [([FFDHE8192], [FFDHE8192]), ([X25519, P256, FFDHE8192], [FFDHE8192]), ([FFDHE2048], [])],
)
def test_openssl_never_sees_a_client_that_asks_for_a_finite_field(
    groups: list[int], shares: list[int], files: Files, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service()
    client = TLSClient(service, files).client
    monkeypatch.delattr(ssl.SSLContext, "wrap_bio")
    client.socket.inbox.append(hello(groups, shares))
    service.run()
    assert bytes(client.socket.taken) == b"\x15\x03\x03\x00\x02\x02\x28"  # handshake_failure
    assert client.socket.closed == "orderly"
    assert logged == [
        "closing a connection from 192.0.2.1 that does not speak TLS: "
        "it asks for a key exchange in a finite field, which costs too much"
    ]


def test_finite_fields_are_not_offered_in_tls_1_2(files: Files, logged: list[str]) -> None:
    issued = files.ca.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    issued.private_key_pem.write_to_path(files.key)
    issued.cert_chain_pems[0].write_to_path(files.certificate)
    service = Service()
    client = TLSClient(service, files).client
    client.socket.inbox.append(hello([FFDHE2048, P256], ciphers=b"\x00\x9e\x00\x9f\xcc\xaa"))
    service.run()
    assert logged == ["closing a connection from 192.0.2.1 that does not speak TLS: NO_SHARED_CIPHER"]


def test_what_is_no_tls_after_the_handshake_ends_the_connection(files: Files, logged: list[str]) -> None:
    client = TLSClient(Service(log_connections="close"), files)
    client.shake_hands()
    client.send(b"x")
    client.client.socket.inbox.append(b"\x17\x03\x03\x00\x20" + bytes(32))
    client.turn()
    client.service.run(1)
    assert client.client.socket.closed == "orderly"
    assert "closing a connection from 192.0.2.1 that does not speak TLS: " in logged[0]
    assert logged[1].endswith("TLS failed")


def test_a_client_that_vanishes_makes_room_for_another(files: Files) -> None:
    service = Service(max_connections=1)
    client = TLSClient(service, files)
    client.shake_hands()
    assert len(service.connections) == 1
    assert service.connect() is None
    client.client.socket.broken = True
    service.run()
    assert len(service.connections) == 0


def test_a_handshake_during_a_drain_is_served(files: Files) -> None:
    service = Service(drain_timeout=5)
    client = TLSClient(service, files)
    done = service.stop()
    client.shake_hands()
    client.send(b"x")
    assert client.received == NOW + b"x"
    assert not done.called
    service.run(2)
    assert done.called
    assert client.client.socket.closed == "orderly"


def test_chunk_framing_is_one_stamp_a_record(files: Files) -> None:
    client = TLSClient(Service(), files)
    client.shake_hands()
    client.send(b"x" * 40000)
    assert [len(piece) for piece in client.received.split(NOW)] == [0, 16384, 16384, 7232]
