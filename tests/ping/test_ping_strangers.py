"""``tsserv-ping`` with what is no tsserv, what does not answer, and over TLS."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from pinging import Handler, Ping, serving
from processes import PATIENCE, Twistd, environment

from tsserv.ping.interrupt import Interrupt
from tsserv.ping.loop import complete
from tsserv.ping.resolver import Resolver
from tsserv.stamp import Stamp

PROGRAM = Path(sysconfig.get_path("scripts")) / "tsserv-ping"

RESETS = {os.strerror(number) for number in (errno.ECONNRESET, errno.EPIPE)}

QUICK = ("--count", 2, "--interval", 0.002)


def send(data: bytes) -> Handler:
    """Return what sends this and then only listens."""

    def handle(client: socket.socket) -> None:
        client.sendall(data)
        listen(client)

    return handle


def listen(client: socket.socket) -> None:
    while client.recv(65536):
        pass


def close(client: socket.socket) -> None:
    client.recv(65536)
    client.shutdown(socket.SHUT_WR)
    listen(client)


def close_at_once(client: socket.socket) -> None:
    pass


def reset(client: socket.socket) -> None:
    client.recv(65536)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def flood(data: bytes) -> Handler:
    """Return what sends this without end."""

    def handle(client: socket.socket) -> None:
        while True:
            client.sendall(data * 1000)

    return handle


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        (send(b"SSH-2.0-OpenSSH_9.9\r\n"), "this is not tsserv: it sends 'SSH-2.0-OpenSSH_9.9'"),
        (send(b"login: "), "this is not tsserv: it sends 'login:'"),
        (send(b"\x1b[2J\xff\n"), "this is not tsserv: it sends '\\x1b[2J\\\\xff'"),
        (flood(b"x"), f"this is not tsserv: it sends '{'x' * 60}'..."),
        (flood(b"hi\n"), "this is not tsserv: it sends 'hi'"),
        (echo, "this is not tsserv: it sends back what it gets, but without a stamp"),
        (listen, "it takes connections, but does not answer"),
        (send(b"[Mon Nov 23"), "it takes connections, but does not answer"),
        (close, "the server closed the connection"),
        (reset, os.strerror(errno.ECONNRESET)),
    ],
)
@pytest.mark.parametrize("options", [(), ("--flood", "--duration", 0.01)], ids=["steady", "flood"])
def test_what_is_no_tsserv_gets_one_line(
    handle: Handler, message: str, options: tuple[object, ...], ping: Ping
) -> None:
    timeout = 0.2 if "does not answer" in message else 1 if "login" in message else PATIENCE
    with serving(handle) as port:
        done = ping(f"127.0.0.1:{port}", *(options or QUICK), "--timeout", timeout)
    assert done.status == 1
    if options and handle in (close, reset):
        message = f"1 of 1 connections ended: {message}"
    assert done.err == f"tsserv-ping: 127.0.0.1:{port}: {message}\n"
    assert "Traceback" not in done.out


def test_a_server_that_closes_at_once_gets_one_line(ping: Ping) -> None:
    with serving(close_at_once) as port:
        done = ping(f"127.0.0.1:{port}", *QUICK)
    reasons = {os.strerror(number) for number in (errno.ECONNRESET, errno.EPIPE)}
    reasons.add("the server closed the connection")  # or the system says what happened to what was sent
    assert done.status == 1
    assert done.err in {f"tsserv-ping: 127.0.0.1:{port}: {reason}\n" for reason in reasons}


def test_what_has_been_measured_before_the_end_is_not_lost(tmp_path: Path, ping: Ping) -> None:
    def answer_three(client: socket.socket) -> None:
        for _ in range(3):
            client.sendall(Stamp()() + client.recv(65536))
        client.recv(65536)

    with serving(answer_three) as port:
        done = ping(f"127.0.0.1:{port}", "--once", "--interval", 0.1, "--csv", tmp_path / "csv")
    assert done.status == 1
    assert "seq=4 lost: the server closed the connection\n" in done.out
    assert "\n4 sent, 3 answered, 1 lost (25 %), " in done.out
    assert done.err == f"tsserv-ping: 127.0.0.1:{port}: the server closed the connection\n"
    assert [line.split(",")[1] for line in (tmp_path / "csv").read_text().splitlines()] == [
        "outcome",
        *["answered"] * 3,
        "lost",
    ]


def test_an_end_between_two_probes_is_a_warning(ping: Ping) -> None:
    def answer_one(client: socket.socket) -> None:
        client.sendall(Stamp()() + client.recv(65536))

    with serving(answer_one) as port:
        done = ping(f"127.0.0.1:{port}", "--json", "--once")
    assert (done.status, done.summary["level"], done.summary["lost"]) == (1, "warning", 0)
    assert done.summary["error"] == "the server closed the connection"


def answer_two(client: socket.socket) -> None:
    for _ in range(2):
        client.sendall(Stamp("unix")() + client.recv(65536))


def test_it_connects_again_when_the_connection_ends(ping: Ping) -> None:
    with serving(answer_two) as port:
        arguments = (f"127.0.0.1:{port}", "--count", 7, "--interval", 0.1)
        done = ping(*arguments)
        json = ping(*arguments, "--json")
        nagios = ping(*arguments, "--nagios")
    assert (done.status, done.err) == (1, "")
    assert len(re.findall(r"^connection ended: .*; connecting again$", done.out, re.M)) >= 2
    assert len(re.findall(r"^the service is back after 0\.\d s: [0-3] probes? lost$", done.out, re.M)) >= 2
    assert re.search(r"^[2-4] outages: the service was away for 0\.\d s$", done.out, re.M)
    outages = [probe for probe in json.probes if probe["type"] == "outage"]
    assert {outage["reason"] for outage in outages} <= {"the server closed the connection", *RESETS}
    assert json.summary["outages"] >= len(outages) >= 2
    assert json.summary["answered"] + json.summary["lost"] == json.summary["sent"] == 7
    assert json.summary["lost"] >= sum(outage["lost"] for outage in outages)
    reported = sum(round(outage["seconds"] * 1e9) for outage in outages)
    assert round(json.summary["away_seconds"] * 1e9) >= reported
    assert nagios.status == 1


def test_connections_that_end_without_an_answer_are_not_made_without_pause(ping: Ping) -> None:
    made = []

    def answer_on_the_first(client: socket.socket) -> None:
        made.append(client)
        if len(made) == 1:
            client.sendall(Stamp("unix")() + client.recv(65536))

    with serving(answer_on_the_first) as port:
        done = ping(f"127.0.0.1:{port}", "--count", 6, "--interval", 0.05, "--json")
    assert (done.status, done.summary["answered"], done.summary["lost"]) == (1, 1, 5)
    assert done.summary["outages"] == 1
    assert done.summary["error"] in ("the server closed the connection", *RESETS)
    assert len(made) <= 8


def test_an_interrupted_outage_is_counted(ping: Ping) -> None:
    made = []

    def interrupt(client: socket.socket) -> None:
        made.append(client)
        if len(made) == 1:
            client.sendall(Stamp("unix")() + client.recv(65536))
        else:
            os.kill(os.getpid(), signal.SIGINT)
            listen(client)

    with serving(interrupt) as port:
        done = ping(f"127.0.0.1:{port}", "--interval", 0.05)
    assert done.status == 1
    assert "\n1 outage: the service was away for " in done.out


def test_a_restart_in_the_middle_is_an_outage(serve: Callable[..., Twistd]) -> None:
    service = serve()
    command = [str(PROGRAM), f"127.0.0.1:{service.port}", "--interval", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        lines = process.stdout

        def wait_for(pattern: str) -> re.Match[str]:
            return next(found for line in lines if (found := re.match(pattern, line)))

        wait_for("seq=2 rtt=")
        began = time.monotonic()
        service.process.terminate()
        service.process.wait(PATIENCE)
        wait_for("connection ended: ")
        first = int(wait_for(r"seq=(\d+) lost: ")[1])
        serve(f"--port={service.port}")
        back = wait_for(r"the service is back after (\S+) s: (\d+) probes? lost")
        assert 0 < float(back[1]) < time.monotonic() - began + 0.1
        answered = int(wait_for(r"seq=(\d+) rtt=")[1])
        assert int(back[2]) == answered - first
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert "\n1 outage: the service was away for " in out
    assert process.returncode == 1


def test_reconnect_outlives_connections_that_fail(ping: Ping) -> None:
    connections = []

    def answer_first_and_last(client: socket.socket) -> None:
        connections.append(client)
        data = client.recv(65536)
        if len(connections) != 2:
            client.sendall(Stamp()() + data)
            listen(client)

    with serving(answer_first_and_last) as port:
        done = ping(f"127.0.0.1:{port}", "--reconnect", "--count", 3, "--interval", 0.002)
    assert done.status == 1
    assert [line.split()[0] for line in done.out.splitlines()[1:4]] == ["seq=1", "seq=2", "seq=3"]
    assert "seq=2 lost: the server closed the connection\n" in done.out


def test_reconnect_outlives_a_service_that_is_gone(ping: Ping) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve_once() -> None:
        client, _ = listener.accept()
        listener.close()
        with client:
            client.sendall(Stamp()() + client.recv(65536))
            client.recv(65536)

    thread = threading.Thread(target=serve_once)
    thread.start()
    done = ping(f"127.0.0.1:{port}", "--reconnect", "--count", 2, "--interval", 0.01)
    thread.join()
    refused = f"cannot connect to 127.0.0.1:{port}: {os.strerror(errno.ECONNREFUSED)}"
    assert done.status == 1
    assert f"seq=2 lost: {refused}\n" in done.out
    assert "2 sent, 1 answered, 1 lost (50 %)" in done.out
    done = ping(f"127.0.0.1:{port}", "--json")
    assert (done.status, done.probes, done.summary["error"]) == (3, [], refused)
    assert (done.summary["local"], done.summary["tls"], done.summary["rtt_ms"]) == (None, None, None)
    for options in [(), ("--reconnect",), ("--flood",)]:
        done = ping(f"127.0.0.1:{port}", *options)
        assert (done.status, done.out) == (3, "")
        assert done.err == f"tsserv-ping: 127.0.0.1:{port}: {refused}\n"


def test_a_server_that_reads_nothing_more_ends_the_run(ping: Ping) -> None:
    over = threading.Event()

    def answer_one(client: socket.socket) -> None:
        line = client.makefile("rb").readline()
        client.sendall(Stamp()() + line)
        over.wait()

    with serving(answer_one) as port:
        done = ping(f"127.0.0.1:{port}", "--size", 65536, "--interval", 0.001, "--timeout", 2, "--once")
        over.set()
    assert done.status == 1
    assert done.err == f"tsserv-ping: 127.0.0.1:{port}: the server has stopped reading\n"


def test_a_flood_does_not_wait_for_a_lost_answer_for_ever(ping: Ping) -> None:
    def drop_second(client: socket.socket) -> None:
        for number, line in enumerate(client.makefile("rb"), 1):
            if number != 2:
                client.sendall(Stamp()() + line)

    with serving(drop_second) as port:
        done = ping(f"127.0.0.1:{port}", "--flood", "--duration", 1.5, "--timeout", 1, "--json")
    assert (done.status, done.summary["lost"]) == (1, 1)
    assert done.summary["answered"] > 2


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("no-such-host.invalid", "cannot find the host 'no-such-host.invalid': "),
        ("fe80::a:b:c:d:e:f:g", "cannot find the host 'fe80::a:b:c:d:e:f:g': "),
        ("a..b", "cannot find the host 'a..b': "),
        ("x" * 70, f"cannot find the host '{'x' * 70}': "),
    ],
)
def test_an_unknown_host_gets_one_line(host: str, message: str, ping: Ping) -> None:
    done = ping(host)
    assert (done.status, done.out) == (3, "")
    shown = f"[{host}]" if ":" in host else host
    assert done.err.startswith(f"tsserv-ping: {shown}:21567: {message}")
    assert done.err.count("\n") == 1


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return who has signed the certificates of the servers here."""
    return trustme.CA()


def secure(authority: trustme.CA, *names: str, days: float = 90) -> ssl.SSLContext:
    """Return a server's context with a new certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expires = datetime.now(timezone.utc) + timedelta(days=days)
    authority.issue_cert(*names, not_before=expires - timedelta(days=100), not_after=expires).configure_cert(
        context
    )
    return context


@pytest.fixture
def cafile(authority: trustme.CA, tmp_path: Path) -> Path:
    """Return a file with the certificate of the authority."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def answer(client: socket.socket) -> None:
    """Be a tsserv."""
    stamp = Stamp("unix")
    while data := client.recv(65536):
        client.sendall(stamp() + data)


def test_tls_is_checked_and_shown(authority: trustme.CA, cafile: Path, ping: Ping) -> None:
    with serving(answer, context=secure(authority, "127.0.0.1", days=9.6)) as port:
        target = f"127.0.0.1:{port}"
        done = ping(target, "--tls", "--cafile", cafile, *QUICK)
        json = ping(target, "--tls", "--cafile", cafile, "--json", *QUICK).summary
        large = ping(target, "--tls", "--cafile", cafile, "--json", *QUICK, "--size", 65536).summary
        flooded = ping(target, "--tls", "--cafile", cafile, "--json", "--flood", "--duration", 0.1).summary
        expiry = ping(target, "--tls", "--cafile", cafile, "--nagios", *QUICK, "--crit", "expiry=10:")
    assert expiry.status == 2
    assert re.search(r", certificate expires in 10 days \| .* expiry=9\.[56];;10:$", expiry.out)
    assert (done.status, done.err) == (0, "")
    assert re.search(
        r"^TLSv1\.3 in \d+\.\d{3} ms: its certificate expires on \d{4}-\d\d-\d\d \d\d:\d\d UTC, in 10 days$",
        done.out,
        re.MULTILINE,
    )
    assert json["answered"] == large["answered"] == 2
    assert json["tls"]["version"] == "TLSv1.3"
    assert json["tls"]["handshake_ms"] > 0
    assert json["tls"]["expires"] == pytest.approx(time.time() + 9.6 * 86400, abs=300)
    assert flooded["answered"] == flooded["sent"] > 0


def test_a_name_of_its_own_is_asked_for_and_checked(authority: trustme.CA, cafile: Path, ping: Ping) -> None:
    asked = []
    context = secure(authority, "time.example")
    context.sni_callback = lambda connection, name, _: asked.append(name)
    with serving(answer, context=context) as port:
        done = ping(f"127.0.0.1:{port}", "--tls", "--cafile", cafile, "--servername", "time.example", *QUICK)
    assert (done.status, asked) == (0, ["time.example"])


@pytest.mark.parametrize(
    ("names", "days", "options", "message"),
    [
        (["other.example"], 90, ["--cafile"], "its certificate is refused: IP address mismatch, "),
        (["127.0.0.1"], 90, [], "its certificate is refused: unable to get local issuer certificate"),
        (["127.0.0.1"], -1, ["--cafile"], "its certificate is refused: certificate has expired"),
    ],
)
def test_a_failure_of_tls_says_which_check_failed(
    names: list[str],
    days: int,
    options: list[str],
    message: str,
    authority: trustme.CA,
    cafile: Path,
    ping: Ping,
) -> None:
    with serving(answer, context=secure(authority, *names, days=days)) as port:
        done = ping(f"127.0.0.1:{port}", "--tls", *options, *([cafile] if options == ["--cafile"] else []))
    assert (done.status, done.out) == (3, "")
    assert f": cannot connect to 127.0.0.1:{port}: {message}" in done.err
    assert done.err.count("\n") == 1


def test_tls_with_what_has_none_or_does_not_answer(ping: Ping) -> None:
    with serving(answer) as port:
        done = ping(f"127.0.0.1:{port}", "--tls")
    assert done.status == 3
    assert f"cannot connect to 127.0.0.1:{port}: TLS failed: " in done.err
    with serving(listen) as port:
        done = ping(f"127.0.0.1:{port}", "--tls", "--timeout", 0.2)
    assert (done.status, done.err) == (
        3,
        f"tsserv-ping: 127.0.0.1:{port}: cannot connect to 127.0.0.1:{port}: timed out\n",
    )


def test_without_a_check_the_expiry_is_shown_if_something_can_read_it(
    authority: trustme.CA, ping: Ping, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answer, context=secure(authority, "other.example", days=-4)) as port:
        read = ping(f"127.0.0.1:{port}", "--tls", "--insecure", *QUICK)
        monkeypatch.setitem(sys.modules, "cryptography.x509", None)
        unread = ping(f"127.0.0.1:{port}", "--tls", "--insecure", *QUICK)
    assert read.status == unread.status == 0
    assert ": its certificate expired on 20" in read.out
    assert (
        ": the expiry of its certificate is unknown (with --insecure, install cryptography to see it)"
        in unread.out
    )


def test_a_client_certificate_that_is_missing_gets_one_line(
    authority: trustme.CA, cafile: Path, ping: Ping
) -> None:
    context = secure(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(answer, context=context) as port:
        done = ping(f"127.0.0.1:{port}", "--tls", "--cafile", cafile, *QUICK)
    assert done.status == 1
    assert done.err.startswith(f"tsserv-ping: 127.0.0.1:{port}: ")
    assert done.err.count("\n") == 1


class SilentHandler(BaseHTTPRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


def test_a_web_server_is_no_tsserv(ping: Ping) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SilentHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        done = ping(f"127.0.0.1:{server.server_port}", *QUICK)
        server.shutdown()
        thread.join()
    assert done.status == 1
    assert "this is not tsserv: it sends '<!DOCTYPE HTML" in done.err


def test_a_malformed_certificate_has_no_expiry_and_does_no_harm(
    authority: trustme.CA, tmp_path: Path, ping: Ping
) -> None:
    issued = authority.issue_cert("127.0.0.1")
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    version = b"\xa0\x03\x02\x01\x02"  # [0] INTEGER 2, which is X.509 version 3
    assert version in der
    path = tmp_path / "odd.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(der.replace(version, version[:-1] + b"\x07")))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, tmp_path / "key.pem")
    with serving(answer, context=context) as port:
        done = ping(f"127.0.0.1:{port}", "--tls", "--insecure", *QUICK)
    assert (done.status, done.err) == (0, "")
    assert ": the expiry of its certificate is unknown" in done.out


class SilentNameServer:
    """A lookup that is answered only when the test ends, and what happens first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._meanwhile = meanwhile
        self._over = threading.Event()
        self.lookups = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, *_: object) -> list[object]:
        self.lookups += 1
        self._meanwhile()
        self._over.wait(PATIENCE)
        return []

    def __enter__(self) -> SilentNameServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()


def test_a_silent_name_server_does_not_take_longer_than_the_timeout(
    ping: Ping, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SilentNameServer(monkeypatch):
        done = ping("host", "--timeout", 0.05)
    assert (done.status, done.err) == (3, "tsserv-ping: host:21567: cannot find the host 'host': timed out\n")


def test_a_signal_ends_it_while_the_name_server_is_silent(
    ping: Ping, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SilentNameServer(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT)):
        done = ping("host", "--timeout", 2 * PATIENCE)
    assert (done.status, done.out, done.err) == (3, "", "")


def test_a_lookup_that_takes_long_is_waited_for_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver("host", 1, socket.AF_UNSPEC)
    with SilentNameServer(monkeypatch) as server:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                complete(resolver.look_up(0.01), Interrupt())
    assert complete(resolver.look_up(PATIENCE), Interrupt()) == []
    assert server.lookups == 1


def test_a_key_log_that_cannot_be_written_is_named(
    ping: Ping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nowhere" / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    done = ping("host", "--tls")
    assert done.status == 2
    assert done.err.startswith(
        f"tsserv-ping: SSLKEYLOGFILE: cannot write '{path}': {os.strerror(errno.ENOENT)} (see "
    )


def test_a_key_log_gets_the_keys(
    authority: trustme.CA, cafile: Path, ping: Ping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with serving(answer, context=secure(authority, "127.0.0.1")) as port:
        done = ping(f"127.0.0.1:{port}", "--tls", "--cafile", cafile, *QUICK)
    assert done.status == 0
    assert "CLIENT_TRAFFIC_SECRET_0 " in (tmp_path / "keys").read_text()
