"""``tsserv-ping --exporter``: what it counts is what happened, and no client of its page holds up a probe."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import program
from pinging import Ping, refusing, serving
from processes import PATIENCE, Twistd, environment, wait_until
from prometheus_client.parser import text_string_to_metric_families
from readme import blocks

from tsserv.ping import httpserver
from tsserv.ping.address import HostPort
from tsserv.ping.connection import Connection
from tsserv.ping.drift import Bounds
from tsserv.ping.httpserver import PageServer
from tsserv.ping.offset import Measurement
from tsserv.ping.outputs.base import Summary
from tsserv.ping.outputs.measured import Measured
from tsserv.ping.outputs.metrics import Metrics
from tsserv.ping.result import Result
from tsserv.ping.tls import TLS
from tsserv.ping.verdict import Thresholds
from tsserv.stamp import Stamp

PROGRAM = Path(sysconfig.get_path("scripts")) / "tsserv-ping"
MS = 10**6  # in nanoseconds

#: Values by the name of the metric and the values of its other labels.
Values = dict[tuple[str, ...], float]


def values(page: str, target: str) -> Values:
    """Return what a page says of one target."""
    found: Values = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = dict(sample.labels)
            if labels.pop("target", None) == target:
                found[(sample.name.removeprefix("tsserv_ping_"), *labels.values())] = sample.value
    return found


class Running:
    """A process that exports; its log is one line after another."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.process = process
        self.log = process.stderr
        self.url = self.log.readline().removeprefix("serving ").strip()

    def page(self) -> str:
        """Return the page."""
        with urlopen(self.url, timeout=PATIENCE) as answer:
            text: str = answer.read().decode()
            return text

    def wait_for(self, target: str, condition: Callable[[Values], bool]) -> Values:
        """Wait until the page says this of a target; return what it says."""
        found: Values = {}

        def is_there() -> bool:
            found.update(values(self.page(), target))
            return condition(found)

        wait_until(is_there, "the page")
        return found


@contextmanager
def exporting(*arguments: object) -> Iterator[Running]:
    """Start it on a port that the system chooses; it has to end well."""
    command = [str(PROGRAM), *map(str, arguments), "--exporter", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield Running(process)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=PATIENCE)
            assert (process.returncode, out) == (0, "")
            assert "Traceback" not in err
        finally:
            process.kill()


def test_what_it_counts_is_what_happened() -> None:
    """Every third probe is not answered; the others after 30 ms, by a clock that is 100.2 seconds ahead."""
    stamp = Stamp("unix", clock=lambda: time.time() + 100.2)
    answered = []

    def serve(client: socket.socket) -> None:
        for line in client.makefile("rb"):
            number = int(line.split(b"-")[1])
            if number % 3:
                stamped = stamp() + line
                time.sleep(0.03)
                answered.append(number)
                client.sendall(stamped)

    with serving(serve) as port:
        target = f"127.0.0.1:{port}"
        with exporting(target, "--interval", 0.1, "--timeout", 2) as running:
            page = running.wait_for(target, lambda of: of[("lost_total",)] >= 4)
            assert answered[:8] == [1, 2, 4, 5, 7, 8, 10, 11]
            count = page[("rtt_seconds_count",)]
            assert count + page[("lost_total",)] <= page[("sent_total",)]
            assert 8 <= count <= len(answered)
            assert page[("rtt_seconds_bucket", "0.025")] == 0
            assert page[("rtt_seconds_bucket", "+Inf")] == count
            assert page[("rtt_seconds_sum",)] >= 0.03 * count
            assert page[("late_total",)] == page[("outages_total",)] == 0
            page = running.wait_for(target, lambda of: of[("up",)] == 1)
            uncertainty = page[("offset_uncertainty_seconds",)]
            assert abs(page[("offset_seconds",)] - 100.2) <= uncertainty < 1
            ways = page[("way_seconds_sum", "there")] + page[("way_seconds_sum", "back")]
            assert ways == pytest.approx(page[("rtt_seconds_sum",)], rel=1e-6)
            assert 0 < page[("connect_seconds",)] < PATIENCE


def test_a_target_that_is_down_and_one_that_restarts(serve: Callable[..., Twistd]) -> None:
    service = serve()
    target = f"127.0.0.1:{service.port}"
    with refusing() as port, exporting(down := f"127.0.0.1:{port}", target, "--interval", 0.05) as running:
        running.wait_for(target, lambda of: of.get(("up",)) == 1)
        service.process.terminate()
        service.process.wait(PATIENCE)
        page = running.wait_for(target, lambda of: of[("up",)] == 0)
        assert page[("outages_total",)] == 0
        page = values(running.page(), target)
        assert ("offset_seconds",) not in page
        serve(f"--port={service.port}")
        page = running.wait_for(target, lambda of: of[("up",)] == 1 and of[("outages_total",)] == 1)
        assert page[("outage_seconds_total",)] > 0
        page = values(running.page(), down)
        assert page[("sent_total",)] == page[("lost_total",)] >= 2
        assert page[("up",)] == 0
        assert running.log.readline() == f"{down}: cannot connect to {down}: Connection refused\n"
        assert re.fullmatch(
            rf"{target}: connection ended: [\w ]+; connecting again\n", running.log.readline()
        )
        assert re.fullmatch(rf"{target}: back after \S+ s, \d+ probes lost\n", running.log.readline())


def test_the_lines_of_a_page_are_as_prometheus_wants_them(serve: Callable[..., Twistd]) -> None:
    target = f"127.0.0.1:{serve().port}"
    with exporting(target, "a\\b", "--interval", 0.05) as running:
        running.wait_for(target, lambda of: ("offset_seconds",) in of)
        page = running.page()
    assert values(page, "a\\b:21567")[("lost_total",)] >= 0
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout.split()[1]
    assert f'tsserv_ping_build_info{{version="{version}"}} 1.0\n' in page
    check = [program("promtool"), "check", "metrics"]
    done = subprocess.run(check, input=page, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_page_of_the_probe_has_a_configuration_for_prometheus(tmp_path: Path) -> None:
    [configuration] = blocks("For Prometheus", "yaml", document="docs/probe.md")
    (tmp_path / "prometheus.yml").write_text(configuration)
    check = [program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def measured(target: HostPort = HostPort("host", 1)) -> Measured:  # noqa: B008 (a constant)
    """Return what is counted of a target before anything has happened."""
    return Measured(Summary(target, Thresholds({}, {})))


def test_a_probe_is_lost_once_and_may_still_be_late() -> None:
    of = measured()

    def state() -> tuple[bool | None, int]:
        return of.up, of.lost

    assert state() == (None, 0)
    of.result(Result(1, "answered", 0, rtt=MS))
    assert state() == (True, 0)
    for number in (2, 3):
        of.overdue(number)
    assert state() == (False, 2)
    of.result(Result(2, "answered", 0, rtt=7000 * MS, late=True))
    of.result(Result(3, "lost", 0))
    assert state() == (False, 2)
    of.result(Result(4, "lost", 0, reason="why"))
    assert of.lost == 3
    of.result(Result(5, "altered", 0, rtt=MS))
    assert state() == (False, 3)
    of.result(Result(6, "answered", 0, rtt=MS))
    of.result(Result(7, "pending", 0))
    assert state() == (True, 3)
    assert of.rtt.buckets()[-1] == ("+Inf", 3)


@pytest.mark.parametrize(
    ("time", "limit"),
    [(0, "5e-05"), (50_000, "5e-05"), (50_001, "0.0001"), (MS, "0.001"), (10**10, "10.0"), (10**11, "+Inf")],
)
def test_a_time_is_in_the_bucket_that_it_does_not_exceed(time: int, limit: str) -> None:
    of = measured()
    of.result(Result(1, "answered", 0, rtt=time))
    assert next(name for name, count in of.rtt.buckets() if count) == limit
    assert of.rtt.seconds == time / 1e9
    assert len(of.rtt.buckets()) == 18


def test_ways_are_shown_only_of_stamps_that_tell_them() -> None:
    of = measured()
    coarse = Measurement(Bounds(0, 10**9), Bounds(0, 10**9), Bounds(0, 4 * MS), Bounds(0, 4 * MS))
    of.result(Result(1, "answered", 0, rtt=4 * MS, measurement=coarse))
    assert (of.there.buckets()[-1][1], of.way_uncertainty) == (0, None)
    fine = Measurement(Bounds(0, 4 * MS), Bounds(0, 2 * MS), Bounds(2 * MS, 4 * MS), Bounds(0, 2 * MS))
    of.result(Result(2, "answered", 0, rtt=4 * MS, measurement=fine))
    assert (of.there.seconds, of.back.seconds, of.way_uncertainty) == (0.003, 0.001, 0.001)


def test_names_of_targets_are_quoted_and_a_certificate_has_its_expiry() -> None:
    of = measured(HostPort('a"\\b\n\udcff', 1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(listener, HostPort("host", 1), 2 * MS, TLS("TLSv1.3", 1, 1795422158))
    of._summary.latest = connection
    page = values(Metrics([of]).page().decode(), 'a"\\b\n\\udcff:1')
    assert page[("certificate_expiry_timestamp_seconds",)] == 1795422158
    assert page[("connect_seconds",)] == 0.002
    assert ("up",) not in page


@contextmanager
def page_server(page: Callable[[], bytes] = lambda: b"page") -> Iterator[PageServer]:
    """Serve a page."""
    server = PageServer(HostPort("127.0.0.1", 0), page, "text/plain")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def connect(server: PageServer) -> socket.socket:
    """Return a connection."""
    return socket.create_connection(("127.0.0.1", int(server.url.split(":")[2].split("/")[0])), PATIENCE)


def ask(server: PageServer, request: bytes) -> bytes:
    """Send a request, and return the answer."""
    with connect(server) as client:
        client.sendall(request)
        answer = b""
        with suppress(ConnectionResetError):  # not all of the request was read
            while data := client.recv(65536):
                answer += data
    return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"200 OK"),
        (b"GET /metrics?name=x HTTP/1.0\r\n\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"GET /metricsx HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"\r\n\r\n", b"404 Not Found"),
        (b"x" * (1 << 14), b"404 Not Found"),
    ],
)
def test_requests(request_: bytes, status: bytes) -> None:
    with page_server() as server:
        answer = ask(server, request_)
    assert answer.startswith(b"HTTP/1.0 " + status + b"\r\n")
    assert answer.endswith(b"\r\n\r\npage" if b"200" in status else b"\r\n\r\nsee /metrics\n")


def test_clients_that_are_slow_or_go_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "_PATIENCE", 1.0)
    pages = iter([bytes(1 << 24), b"page"])
    with page_server(lambda: next(pages)) as server, connect(server) as silent, connect(server) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")  # and reads nothing
        connect(server).close()
        assert ask(server, b"GET /metrics HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\npage")
        assert silent.recv(1) == b""


def test_no_free_file_descriptor_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = socket.socket.accept
    failures: list[socket.socket] = []

    def fail_once(listener: socket.socket) -> object:
        if not failures:
            failures.append(listener)
            raise OSError(24, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail_once)
    with page_server() as server:
        assert ask(server, b"GET /metrics HTTP/1.1\r\n\r\n").endswith(b"page")
    assert failures


def test_probes_go_on_while_a_client_holds_up_the_page() -> None:
    def serve(client: socket.socket) -> None:
        while data := client.recv(65536):
            client.sendall(Stamp("unix")() + data)

    with serving(serve) as port, exporting(f"127.0.0.1:{port}", "--interval", 0.01) as running:
        _, _, address = running.url.split("/")[:3]
        host, _, page_port = address.partition(":")
        with socket.create_connection((host, int(page_port))):  # asks for nothing
            page = running.wait_for(f"127.0.0.1:{port}", lambda of: of[("sent_total",)] >= 50)
    assert page[("lost_total",)] == 0


def test_a_name_to_listen_on_that_is_not_found_is_one_line(ping: Ping) -> None:
    done = ping("host", "--exporter", "nowhere.invalid:1")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("tsserv-ping: --exporter: cannot listen on nowhere.invalid:1: ")
    assert done.err.count("\n") == 1


def test_an_address_that_is_taken_is_one_line(ping: Ping) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        done = ping("host", "--exporter", address)
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        f"tsserv-ping: --exporter: cannot listen on {address}: {os.strerror(98)} (see tsserv-ping --help)\n"
    )


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_an_ipv6_address_to_listen_on() -> None:
    server = PageServer(HostPort("::1", 0), lambda: b"page", "text/plain")
    server.start()
    assert re.fullmatch(r"http://\[::1\]:\d+/metrics", server.url)
    with urlopen(server.url, timeout=PATIENCE) as answer:
        assert answer.read() == b"page"
    server.stop()


def test_it_needs_prometheus_client(monkeypatch: pytest.MonkeyPatch, ping: Ping) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "tsserv.ping.outputs.metrics", raising=False)
    done = ping("host", "--exporter", "0")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(
        "tsserv-ping: --exporter: needs prometheus_client: pip install prometheus_client "
    )


def test_a_week_takes_no_more_memory_than_a_minute() -> None:
    of = measured()
    size = [sum(sys.getsizeof(part) for part in vars(of.rtt).values())]
    for number in range(1, 100_000):
        of.overdue(number)
        of.result(Result(number, "answered", 0, rtt=number * 1000, late=True))
    size.append(sum(sys.getsizeof(part) for part in vars(of.rtt).values()))
    assert size[0] == size[1]
    assert of.lost == of.rtt.buckets()[-1][1] == 99_999
