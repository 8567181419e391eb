"""TLS: clients in memory, and OpenSSL's own."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
import trustme
from certificates import Files, tls_port
from conftest import program
from fakes import NOW, Client, Service, connect
from processes import PATIENCE, STAMP, Twistd, receive, run_twistd

from tsserv.layers.credentials import Credentials
from tsserv.layers.tls import TLSFactory
from tsserv.protocol import TimestampFactory


def tls_connect(service: Twistd, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a new connection with TLS."""
    plain = socket.create_connection(("127.0.0.1", tls_port(service)), PATIENCE)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


# In memory


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


def test_two_records_in_one_read_are_not_both_answered_if_the_first_is_too_much(files: Files) -> None:
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
    client.client.socket.room = 1 << 30
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
        "closing a connection from 192.0.2.1 that does not speak TLS: HTTP_REQUEST",
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


# Files


def test_a_file_that_cannot_be_used_is_one_line(files: Files, tmp_path: Path) -> None:
    key = tmp_path / "fifo"
    os.mkfifo(key)
    done = run_twistd(tmp_path, "-n", "--pidfile=", "tsserv", *files.options, f"--private-key={key}")
    message = f"twistd tsserv: --private-key: cannot read '{key}': Not a regular file"
    assert (done.returncode, done.stderr) == (1, f"{message} (see twistd tsserv --help)\n")


def test_certificate_and_key_may_be_in_one_file(files: Files, serve: Callable[..., Twistd]) -> None:
    files.certificate.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    service = serve("--listen=tls+tcp:0:interface=127.0.0.1", f"--certificate={files.certificate}")
    with tls_connect(service, files.context()) as client:
        client.sendall(b"x")
        assert STAMP.fullmatch(receive(client, 28)[:-1])


# Real ones


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_answers_over_each_version(
    version: ssl.TLSVersion, files: Files, serve: Callable[..., Twistd]
) -> None:
    service = serve(*files.options)
    context = files.context()
    context.minimum_version = context.maximum_version = version
    data = bytes(range(256)) * 10000
    with tls_connect(service, context) as client:
        assert client.version() == version.name.replace("_", ".")
        for place in range(0, len(data), 16384):
            client.sendall(data[place : place + 16384])
        answers = b""
        while len(STAMP.sub(b"", answers)) < len(data):
            answers += client.recv(1 << 16)
    assert STAMP.sub(b"", answers) == data


@pytest.mark.parametrize(
    "client",
    [
        ["ncat", "--ssl", "127.0.0.1", "{port}"],
        ["socat", "-t5", "-", "OPENSSL:127.0.0.1:{port},cafile={root}"],
    ],
)
def test_programs_that_half_close_get_their_answer(
    client: list[str], files: Files, serve: Callable[..., Twistd]
) -> None:
    service = serve(*files.options)
    path, *arguments = program(client[0]), *client[1:]
    command = [path, *(word.format(port=tls_port(service), root=files.root) for word in arguments)]
    for _ in range(20):
        done = subprocess.run(command, input=b"hi\n", capture_output=True, timeout=PATIENCE)
        assert STAMP.fullmatch(done.stdout[:-3]), done
        assert done.stdout.endswith(b"hi\n")
    service.stop()
    assert "Traceback" not in service.output


def test_s_client_gets_its_answer(files: Files, serve: Callable[..., Twistd]) -> None:
    service = serve(*files.options)
    with subprocess.Popen(
        [program("openssl"), "s_client", "-quiet", "-connect", f"127.0.0.1:{tls_port(service)}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(b"hi\n")
        client.stdin.close()  # which it does not hand on: with -quiet it waits for the server to end
        assert STAMP.sub(b"", client.stdout.readline()) == b"hi\n"
        client.terminate()


@pytest.mark.parametrize("what", ["plain", "old"])
def test_plain_text_and_old_versions_are_closed_and_counted(
    what: str, files: Files, serve: Callable[..., Twistd]
) -> None:
    service = serve(*files.options)
    if what == "plain":
        with socket.create_connection(("127.0.0.1", tls_port(service)), PATIENCE) as client:
            client.sendall(b"hello\n")
            while client.recv(100):  # an alert
                pass
    else:
        context = files.context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            tls_connect(service, context)
    service.wait_for("closing a connection from 127.0.0.1 that does not speak TLS: ")
    service.stop()
    assert "connections closed that did not speak TLS: 1" in service.output
    assert "connected from" not in service.output
    assert "Traceback" not in service.output


def test_clients_can_be_asked_for_a_certificate(files: Files, serve: Callable[..., Twistd]) -> None:
    service = serve(*files.options, f"--client-ca={files.root}")
    context = files.context()
    # In TLS 1.3 a client learns of it when it reads.
    with tls_connect(service, context) as stranger, pytest.raises(ssl.SSLError):
        stranger.recv(1)
    service.wait_for("does not speak TLS: PEER_DID_NOT_RETURN_A_CERTIFICATE")
    files.ca.issue_cert("client").configure_cert(context)
    with tls_connect(service, context) as client:
        client.sendall(b"x")
        assert receive(client, 28).endswith(b"x")


def test_sighup_renews_and_a_broken_pair_is_refused(files: Files, serve: Callable[..., Twistd]) -> None:
    def serial() -> int:
        with tls_connect(service, context) as client:
            certificate = client.getpeercert()
            assert certificate is not None
            return int(str(certificate["serialNumber"]), 16)

    service = serve(*files.options)
    context = files.context()
    before = serial()
    with tls_connect(service, context) as old:
        after = files.renew()
        service.reload()
        service.wait_for("TLS has read its certificate again")
        assert serial() == after != before
        good = shutil.copy(files.key, files.key.with_name("good.pem"))
        files.key.write_bytes(trustme.CA().private_key_pem.bytes())
        service.reload()
        service.wait_for("TLS goes on with the old certificate: .*: they do not match\n")
        assert serial() == after
        shutil.copy(good, files.key)
        service.reload()
        service.wait_for("TLS has read its certificate again", 2)
        old.sendall(b"x")
        assert receive(old, 28).endswith(b"x")
    service.stop()
    assert "Traceback" not in service.output


def test_chunk_framing_is_one_stamp_a_record(files: Files) -> None:
    client = TLSClient(Service(), files)
    client.shake_hands()
    client.send(b"x" * 40000)
    assert [len(piece) for piece in client.received.split(NOW)] == [0, 16384, 16384, 7232]


@pytest.mark.parametrize("together", [True, False])
def test_a_proxy_header_comes_before_tls(together: bool, files: Files, serve: Callable[..., Twistd]) -> None:
    listen, *rest = files.options
    service = serve(listen.replace("tls+", "proxy+tls+"), *rest)
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = files.context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection(("127.0.0.1", tls_port(service)), PATIENCE) as client:
        for piece in [header + outgoing.read()] if together else [header, outgoing.read()]:
            client.sendall(piece)
        answer = b""
        while not answer:
            incoming.write(client.recv(1 << 16))
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                if not service.output.count("connected from"):
                    tls.write(b"x")
                    client.sendall(outgoing.read())
                    client.shutdown(socket.SHUT_WR)
                    service.wait_for(r"connected from: 192\.0\.2\.7\n")
                answer = tls.read(100)
    assert STAMP.fullmatch(answer[:-1])
    service.wait_for(r"closed: 192\.0\.2\.7 port 4711, 1 bytes in, 28 bytes out, .* ended by the client\n")
