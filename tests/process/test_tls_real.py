"""TLS between real processes: OpenSSL's clients, files of certificates, renewal."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from certificates import Files, tls_port
from conftest import program
from processes import PATIENCE, STAMP, Twistd, receive, run_twistd


def tls_connect(
    service: Twistd, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    """Return a new connection with TLS, which resumes a session if it can."""
    plain = socket.create_connection(("127.0.0.1", tls_port(service)), PATIENCE)
    return context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)


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


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_connection_can_resume_the_session_of_the_one_before(
    version: ssl.TLSVersion, files: Files, serve: Callable[..., Twistd]
) -> None:
    service = serve(*files.options)
    context = files.context()
    context.minimum_version = context.maximum_version = version
    session = None
    for resumed in (False, True, True):
        with tls_connect(service, context, session) as client:
            client.sendall(b"x")
            receive(client, 28)
            assert client.session_reused is resumed
            session = client.session


def test_what_comes_after_a_close_notify_destroys_no_answers(
    files: Files, serve: Callable[..., Twistd]
) -> None:
    service = serve(*files.options)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = files.context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that answers wait in the service
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", tls_port(service)))
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(outgoing.read())
                incoming.write(client.recv(1 << 16))
        for _ in range(20):
            tls.write(b"x" * 16000)
        with suppress(ssl.SSLWantReadError):
            tls.unwrap()
        rubbish = b"not TLS" * 10000
        sending = threading.Thread(target=client.sendall, args=[outgoing.read() + rubbish])
        sending.start()
        while data := client.recv(500):  # slowly
            incoming.write(data)
        sending.join()
    incoming.write_eof()
    answers = b""
    with suppress(ssl.SSLZeroReturnError):
        while data := tls.read(1 << 20):
            answers += data
    assert STAMP.sub(b"", answers) == b"x" * 320000
    service.wait_for(r"closed: .* ended by the client\n")


def test_a_connection_that_is_idle_after_a_large_answer_holds_little(
    files: Files, serve: Callable[..., Twistd]
) -> None:
    def exchange() -> ssl.SSLSocket:
        client = tls_connect(service, files.context())
        client.sendall(b"\n" * 16384)
        receive(client, 16384 * 28)
        return client

    service = serve(*files.options, "--framing=line")
    exchange().close()
    service.wait_for("closed: ")
    before = service.memory()
    clients = [exchange() for _ in range(50)]
    taken = service.memory() - before
    for client in clients:
        client.close()
    assert taken <= len(clients) * 64 * 1024 + (2 << 20)  # the allocator keeps some for itself


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


@pytest.mark.parametrize("trusted", ["root", "intermediate"])
def test_clients_of_an_intermediate_authority_are_served(
    trusted: str, files: Files, serve: Callable[..., Twistd]
) -> None:
    """Whether the file has the root or the intermediate alone; then clients of the root are refused."""
    intermediate = files.ca.create_child_ca()
    if trusted == "intermediate":
        intermediate.cert_pem.write_to_path(files.root.with_name("intermediate.pem"))
    service = serve(*files.options, f"--client-ca={files.root.with_name(f'{trusted}.pem')}")
    ours, direct = files.context(), files.context()
    intermediate.issue_cert("client").configure_cert(ours)
    files.ca.issue_cert("client").configure_cert(direct)
    with tls_connect(service, ours) as client:
        client.sendall(b"x")
        assert receive(client, 28).endswith(b"x")
    with tls_connect(service, direct) as other:
        if trusted == "root":
            other.sendall(b"x")
            assert receive(other, 28).endswith(b"x")
        else:
            with pytest.raises(ssl.SSLError):
                other.recv(1)


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
