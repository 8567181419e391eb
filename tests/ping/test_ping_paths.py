"""Where ``tsserv-ping`` connects to, how it leaves this machine, and what it sends first."""

from __future__ import annotations

import re
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from certificates import Files
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pinging import Handler, Ping, serving
from processes import Twistd

from tsserv.layers.proxyheader import parse_header
from tsserv.ping.proxyheader import VERSIONS, proxy_header
from tsserv.stamp import Stamp

QUICK = ("--count", 2, "--interval", 0.01)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="this is Linux's")


def answer(client: socket.socket) -> None:
    """Be a tsserv."""
    stamp = Stamp("unix")
    while data := client.recv(65536):
        client.sendall(stamp() + data)


def last_port(service: Twistd) -> int:
    """Return the port of the listener that was given last."""
    return int(re.findall(r"listening on \S+:(\d+)\n", service.output)[-1])


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of a tsserv."""
    with serving(answer) as port:
        yield port


def test_a_port_may_be_a_word_or_an_option(port: int, ping: Ping) -> None:
    for arguments in (("127.0.0.1", port), ("127.0.0.1", "--port", port)):
        done = ping(*arguments, *QUICK)
        assert (done.status, done.err) == (0, "")
        assert f"\n--- 127.0.0.1:{port} ---\n2 sent, 2 answered" in done.out


def test_a_unix_socket_is_a_target(
    tmp_path: Path, files: Files, serve: Callable[..., Twistd], ping: Ping
) -> None:
    plain, secure = tmp_path / "plain", tmp_path / "secure"
    tls = (f"--listen=tls+unix:{secure}", *files.options[1:])
    service = serve(f"--listen=unix:{plain}", *tls)
    done = ping(f"unix:{plain}", *QUICK)
    assert (done.status, done.err) == (0, "")
    assert re.match(rf"connected in \d+\.\d{{3}} ms: unix:{plain}\nseq=1 rtt=", done.out)
    assert f"\n--- unix:{plain} ---\n2 sent, 2 answered" in done.out
    assert "kernel" not in done.out
    trusting = ("--tls", "--cafile", files.root)
    assert ping(f"unix:{secure}", *trusting, "--servername", "127.0.0.1", *QUICK).status == 0
    refused = ping(f"unix:{secure}", *trusting, "--servername", "other.test", *QUICK)
    assert "its certificate is refused: " in refused.err
    service.wait_for(r"connected from: unix\n")


@pytest.mark.parametrize(("path", "error"), [("nowhere", "No such file or directory"), ("a" * 300, "")])
def test_a_unix_socket_that_is_not_there_gets_one_line(path: str, error: str, ping: Ping) -> None:
    done = ping(f"unix:{path}")
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith(f"tsserv-ping: unix:{path}: cannot connect to unix:{path}: {error}")
    assert done.err.count("\n") == 1


@LINUX  # elsewhere 127.0.0.1 may be the only address of the loopback interface
def test_the_server_sees_the_source(serve: Callable[..., Twistd], ping: Ping) -> None:
    service = serve()
    done = ping(f"127.0.0.1:{service.port}", "--source", "127.0.0.9", "--json", "--count", 1)
    assert done.status == 0
    assert done.summary["local"].startswith("127.0.0.9:")
    service.wait_for(r"connected from: 127\.0\.0\.9\n")


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_the_source_chooses_the_family(port: int, ping: Ping) -> None:
    done = ping(f"localhost:{port}", "--source", "::1")
    assert (done.status, done.out) == (3, "")
    assert "127.0.0.1" not in done.err  # whether or not localhost has an IPv6 address


@LINUX
def test_the_interface_can_be_chosen(port: int, ping: Ping) -> None:
    done = ping(f"127.0.0.1:{port}", "--interface", "lo", *QUICK)
    assert (done.status, done.err) == (0, "")


def test_the_interface_cannot_be_chosen_everywhere(monkeypatch: pytest.MonkeyPatch, ping: Ping) -> None:
    monkeypatch.delattr(socket, "SO_BINDTODEVICE", raising=False)
    done = ping("host", "--interface", "lo")
    message = "tsserv-ping: --interface: this system has no way to choose the interface"
    assert (done.status, done.err) == (2, f"{message} (see tsserv-ping --help)\n")


def test_a_source_that_this_machine_does_not_have_gets_one_line(port: int, ping: Ping) -> None:
    done = ping(f"127.0.0.1:{port}", "--source", "192.0.2.1")
    assert (done.status, done.out) == (3, "")
    target = f"127.0.0.1:{port}"
    assert done.err.startswith(f"tsserv-ping: {target}: cannot connect to {target}: --source 192.0.2.1: ")
    assert done.err.count("\n") == 1


def seen_tos(listener: socket.socket) -> int:
    """Return the type of service, or traffic class, with which a client has connected."""
    if listener.family == socket.AF_INET6:
        level, receive, options = socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 6  # IPV6_2292PKTOPTIONS
    else:
        level, receive, options = socket.IPPROTO_IP, socket.IP_RECVTOS, 9  # IP_PKTOPTIONS
    with listener, listener.accept()[0] as client:
        client.setsockopt(level, receive, 1)
        message = client.getsockopt(level, options, 256)
        answer(client)
    head = struct.Struct("Nii")  # struct cmsghdr
    tos: int = struct.unpack_from("i", message, head.size)[0]
    return tos


@LINUX
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(("option", "expected"), [((), 0), (("--tos", "0xb8"), 184), (("--tos", 32), 32)])
def test_the_server_sees_the_type_of_service(
    host: str, option: tuple[object, ...], expected: int, ping: Ping
) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)
    seen: list[int] = []

    def relay(_: socket.socket) -> None:
        seen.append(seen_tos(listener))

    with serving(relay) as trigger, socket.create_connection(("127.0.0.1", trigger)):
        done = ping(host, listener.getsockname()[1], *option, *QUICK)
    assert (done.status, done.err) == (0, "")
    assert seen == [expected]


class Ends:
    """A socket, as far as a PROXY header needs it."""

    def __init__(self, family: int, source: object, destination: object) -> None:
        self.family = family
        self.getsockname = lambda: source
        self.getpeername = lambda: destination


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("ends", "client"),
    [
        (Ends(socket.AF_INET, ("192.0.2.1", 47), ("192.0.2.9", 443)), ("192.0.2.1", 47)),
        (Ends(socket.AF_INET6, ("2001:db8::1", 47, 0, 0), ("::1", 443, 0, 0)), ("2001:db8::1", 47)),
        (Ends(socket.AF_INET6, ("fe80::1%eth0", 47, 0, 2), ("fe80::2", 443, 0, 2)), ("fe80::1", 47)),
        (Ends(socket.AF_UNIX, "", "/run/tsserv"), None),
    ],
)
def test_a_proxy_header_names_both_ends(version: str, ends: Ends, client: tuple[str, int] | None) -> None:
    written = proxy_header(version, ends)  # type: ignore[arg-type]
    header = parse_header(bytearray(written + b"data"))
    assert header is not None
    assert header.size == len(written)
    assert (header.client and (header.client.host, header.client.port)) == client
    if version == "v1" and client:
        assert written.endswith(b" 47 443\r\n")


def relay_to(port: int) -> Handler:
    """Return a proxy that adds nothing."""

    def handle(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            other = {client: server, server: client}
            while True:
                for source in select.select(other, [], [])[0]:
                    if not (data := source.recv(65536)):
                        return
                    other[source].sendall(data)

    return handle


@LINUX  # which has 127.0.0.9
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["tcp", "tls+tcp"])
def test_the_service_believes_the_proxy_header(
    kind: str, version: str, files: Files, serve: Callable[..., Twistd], ping: Ping
) -> None:
    tls = kind.startswith("tls")
    service = serve(f"--listen=proxy+{kind}:0:interface=127.0.0.1", *(files.options[1:] if tls else ()))
    options = ("--tls", "--cafile", files.root) if tls else ()
    with serving(relay_to(last_port(service))) as port:
        done = ping(
            *(f"127.0.0.1:{port}", "--source", "127.0.0.9", "--proxy-header", version, "--json"),
            *options,
            *QUICK,
        )
    assert (done.status, done.err) == (0, "")
    assert done.summary["answered"] == 2
    service.wait_for(r"connected from: 127\.0\.0\.9\n")
    local_port = done.summary["local"].rpartition(":")[2]
    service.wait_for(rf"closed: 127\.0\.0\.9 port {local_port}, ")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_proxy_header_goes_over_a_unix_socket(
    version: str, tmp_path: Path, serve: Callable[..., Twistd], ping: Ping
) -> None:
    path = tmp_path / "socket"
    serve(f"--listen=proxy+unix:{path}")
    assert ping(f"unix:{path}", *QUICK).status == 1
    done = ping(f"unix:{path}", "--proxy-header", version, *QUICK)
    assert (done.status, done.err) == (0, "")


def test_the_service_gets_the_certificate_of_the_client(
    files: Files, tmp_path: Path, serve: Callable[..., Twistd], ping: Ping
) -> None:
    service = serve(*files.options, f"--client-ca={files.root}")
    issued = files.ca.issue_cert("client.test")
    both, certificate, key = tmp_path / "both", tmp_path / "certificate", tmp_path / "key"
    issued.private_key_and_cert_chain_pem.write_to_path(str(both))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    target = (f"127.0.0.1:{last_port(service)}", "--tls", "--cafile", files.root, *QUICK)
    assert ping(*target).status == 1
    for options in (("--certificate", both), ("--certificate", certificate, "--private-key", key)):
        done = ping(*target, *options)
        assert (done.status, done.err) == (0, "")
    stranger = trustme.CA().issue_cert("client.test")
    stranger.private_key_and_cert_chain_pem.write_to_path(str(both))
    assert ping(*target, "--certificate", both).status == 1


def test_a_certificate_that_cannot_be_used_gets_one_line(files: Files, tmp_path: Path, ping: Ping) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    locked, other = tmp_path / "locked", tmp_path / "other"
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    files.ca.issue_cert("other.test").private_key_pem.write_to_path(str(other))
    nowhere, certificate = tmp_path / "nowhere", files.certificate
    for options, error in [
        ((nowhere,), f"{str(nowhere)!r}: No such file or directory"),
        ((certificate,), f"{str(certificate)!r}: not a certificate and its key in PEM"),
        ((certificate, "--private-key", nowhere), f"{str(certificate)!r} with {str(nowhere)!r}: "),
        (
            (certificate, "--private-key", other),
            f"{str(certificate)!r} with {str(other)!r}: they do not match",
        ),
        (
            (certificate, "--private-key", locked),
            f"{str(certificate)!r} with {str(locked)!r}: the key is encrypted",
        ),
    ]:
        done = ping("host", "--tls", "--certificate", *options)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"tsserv-ping: --certificate: cannot use {error}")
        assert done.err.count("\n") == 1


def test_quiet_leaves_the_summary(port: int, ping: Ping) -> None:
    done = ping(f"127.0.0.1:{port}", "--quiet", *QUICK)
    assert re.match(rf"connected in .*\n\n--- 127\.0\.0\.1:{port} ---\n2 sent, 2 answered, ", done.out)
    with serving(lambda client: answer_once(client)) as short:
        done = ping(f"127.0.0.1:{short}", "--quiet", "--count", 3, "--interval", 0.01)
    assert re.match(r"connected in .*\n\n---", done.out)


def answer_once(client: socket.socket) -> None:
    """Be a tsserv that closes the connection after an answer."""
    client.sendall(Stamp("unix")() + client.recv(65536))


def test_lines_may_begin_with_the_time(ping: Ping) -> None:
    with serving(answer_once) as port:
        before = time.time()
        done = ping(f"127.0.0.1:{port}", "--timestamps", "--count", 3, "--interval", 0.01)
        after = time.time()
    lines = done.out.partition("\n\n")[0].splitlines()[1:]
    found = [
        re.match(r"\[(\d+\.\d{6})\] (?:seq=|connection ended|the service is back)", line) for line in lines
    ]
    times = [float(match[1]) for match in found if match]
    assert len(times) == len(lines) > 3
    assert [before, *times, after] == sorted([before, *times, after])
