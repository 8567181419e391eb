"""The figures of ``--status``, and the metrics that are made of them, of a service in memory."""

from __future__ import annotations

import re
import ssl
import subprocess
from contextlib import suppress
from types import SimpleNamespace
from typing import cast

import pytest
from certificates import Files
from conftest import program
from fakes import Service, connect
from processes import PATIENCE
from twisted.application.service import MultiService
from web import get

from tsserv.layers.credentials import Credentials
from tsserv.ops.logfile import LogFile
from tsserv.status.figures import Figures
from tsserv.status.root import Root
from tsserv.status.site import StatusSite


class Status:
    """The status of a service in memory."""

    def __init__(self, service: Service, credentials: Credentials | None = None) -> None:
        listeners = [SimpleNamespace(address="127.0.0.1:21567")]
        self.figures = Figures(service.reactor, service.connections, credentials, listeners, None)
        self.figures.logs["file"] = cast(LogFile, SimpleNamespace(lost=7))
        self.figures.startService()
        self.tree = MultiService()
        self.tree.startService()
        self.site = StatusSite(Root(self.tree, self.figures), service.reactor)

    def metrics(self, accept: str = "*/*") -> dict[str, float]:
        """Return the values of all samples, by name and labels."""
        status, _, text = get(self.site, "/metrics", accept)
        assert status == 200
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name.removeprefix("tsserv_"): float(value) for name, _, value in lines}


def test_connections_are_counted_open_and_closed_once_each() -> None:
    service = Service()
    status = Status(service)
    one, two = connect(service), connect(service)
    for client, text in ((one, b"abc"), (two, b"x"), (two, b"yz")):
        client.socket.inbox.append(text)
        service.run()
    two.socket.ended = True
    service.run(1)
    metrics = status.metrics()
    assert metrics["connections_open"] == 1
    assert metrics["connections_accepted_total"] == 2
    assert metrics['connections_closed_total{reason="ended by the client"}'] == 1
    assert metrics['connections_closed_total{reason="connection lost"}'] == 0
    assert metrics["received_chunks_total"] == 3
    assert metrics["received_bytes_total"] == 6
    assert metrics["sent_bytes_total"] == 6 + 3 * 27
    assert metrics["unsent_bytes"] == 0
    one.socket.broken = True
    one.socket.inbox.append(b"x")
    service.run(1)
    after = status.metrics()
    assert after['connections_closed_total{reason="connection lost"}'] == 1
    assert {name for name, value in after.items() if value < metrics.get(name, 0)} <= {
        "connections_open",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    }


def test_what_is_unsent_is_not_sent() -> None:
    service = Service()
    status = Status(service)
    client = connect(service)
    client.socket.room = 30
    client.socket.inbox.append(b"x" * 100)
    service.run(1)
    metrics = status.metrics()
    assert (metrics["sent_bytes_total"], metrics["unsent_bytes"]) == (30, 97)
    client.protocol.abort("stalled")
    service.run(1)
    metrics = status.metrics()
    assert (metrics["sent_bytes_total"], metrics["unsent_bytes"]) == (30, 0)
    assert metrics['connections_closed_total{reason="stalled"}'] == 1


def test_refused_connections_are_counted_by_reason_and_not_accepted() -> None:
    service = Service(max_connections=1)
    status = Status(service)
    connect(service)
    assert service.connect() is None
    assert service.connect("192.0.2.9") is None
    service.run(30)
    metrics = status.metrics()
    assert metrics['connections_refused_total{reason="max-connections"}'] == 2
    assert metrics['connections_refused_total{reason="max-connections-per-host"}'] == 0
    assert metrics["connections_accepted_total"] == 1


def test_a_connection_without_its_header_is_open_and_not_accepted() -> None:
    service = Service("proxy+tcp:0")
    status = Status(service)
    served, late, wrong = (service.connect("127.0.0.1") for _ in range(3))
    assert served
    assert late
    assert wrong
    served.socket.inbox.append(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello")
    wrong.socket.inbox.append(b"hello")
    assert service.connect("192.0.2.3") is None
    service.run(1)
    metrics = status.metrics()
    assert (metrics["connections_open"], metrics["connections_accepted_total"]) == (2, 1)
    assert metrics["received_bytes_total"] == 5
    service.run(5)
    metrics = status.metrics()
    assert (metrics["connections_open"], metrics["connections_accepted_total"]) == (1, 1)
    for reason in ("PROXY header invalid", "PROXY header late", "proxy not trusted"):
        assert metrics[f'connections_refused_total{{reason="{reason}"}}'] == 1
    page = get(status.site, "/")[2]
    assert "<tr><th>proxy not trusted</th><td>1</td><td>1</td><td>192.0.2.3</td></tr>" in page
    assert "<tr><th>PROXY header late</th><td>1</td><td>1</td><td></td></tr>" in page
    assert late.socket.closed


def test_tls_tells_handshakes_and_the_expiry(files: Files) -> None:
    credentials = Credentials(str(files.certificate), str(files.key))
    status = Status(Service(), credentials)

    def shake_hands() -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = credentials.context.wrap_bio(incoming, outgoing, server_side=True)
        client = files.context().wrap_bio(outgoing, incoming, server_hostname="127.0.0.1")
        for side in (client, server, client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()

    shake_hands()
    shake_hands()
    files.renew()
    credentials.reload()
    shake_hands()
    files.key.unlink()
    credentials.reload()
    shake_hands()
    metrics = status.metrics()
    assert metrics["tls_handshakes_total"] == 4
    decoded = ssl._ssl._test_decode_cert(str(files.certificate))  # type: ignore[attr-defined]
    expected = ssl.cert_time_to_seconds(decoded["notAfter"])
    assert metrics["tls_certificate_expiry_timestamp_seconds"] == expected
    assert "tls_handshakes_total" not in Status(Service()).metrics()


def test_lost_lines_are_counted() -> None:
    assert Status(Service()).metrics()['log_lines_lost_total{log="file"}'] == 7


def test_figures_are_read_once_a_second_however_often_they_are_asked_for() -> None:
    service = Service()
    status = Status(service)
    service.run(1)
    connect(service)
    before = status.metrics()
    connect(service)
    assert status.metrics() == before
    service.run(1)
    assert status.metrics()["connections_open"] == 2


def test_a_minute_is_kept() -> None:
    service = Service()
    figures = Status(service).figures
    service.run(70)
    assert len(figures.samples) == 13
    assert figures.samples[-1].time - figures.samples[0].time == 60
    figures.stopService()
    assert service.reactor.getDelayedCalls() == []


def test_the_lag_of_the_reactor() -> None:
    service = Service()
    figures = Status(service).figures
    for late in (0.0, 0.0, 0.004, 0.3, 60.0):
        service.reactor.advance(0.25 + late)
    service.reactor.advance(0)
    now = figures.now()
    assert now.lags == [2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert now.lag == pytest.approx(60.304)


def test_prometheus_finds_nothing_to_complain_of(files: Files) -> None:
    status = Status(Service(), Credentials(str(files.certificate), str(files.key)))
    _, fields, text = get(status.site, "/metrics")
    assert fields["Content-Type"].startswith("text/plain; version=")
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_openmetrics_for_those_who_ask_for_it() -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    _, fields, text = get(Status(Service()).site, "/metrics", accept)
    assert fields["Content-Type"].startswith("application/openmetrics-text; version=")
    assert text.endswith("# EOF\n")
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert families["tsserv_reactor_lag_seconds"].type == "histogram"
    assert re.match(r"\d", families["tsserv_build"].samples[0].labels["twisted"])


def test_two_services_in_one_process_have_metrics_of_their_own() -> None:
    one, two = Service(), Service()
    figures = Status(one), Status(two)
    connect(one)
    one.run(1)
    two.run(1)
    assert [status.metrics()["connections_open"] for status in figures] == [1, 0]


def test_without_the_extra_the_metrics_say_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsserv.status.root.find_spec", lambda name: None)
    status = Status(Service())
    code, _, text = get(status.site, "/metrics")
    assert code == 501
    assert "pip install prometheus_client" in text
    assert get(status.site, "/ready")[0] == 200


def test_the_page_shows_it_all(files: Files) -> None:
    service = Service("proxy+tcp:0")
    status = Status(service, Credentials(str(files.certificate), str(files.key)))
    for _ in range(70):
        assert service.connect("2001:db8::9") is None
        service.run(1)
    code, fields, text = get(status.site, "/")
    assert (code, fields["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>tsserv on " in text
    assert ": ready</title>" in text
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", line) for line in text.splitlines()]
    assert ["listening on", "127.0.0.1:21567"] in rows
    assert ["running for", "0:01:10"] in rows
    assert ["lines lost by the log (file)", "7"] in rows
    assert ["reactor late, at most", "1 ms"] in rows
    assert any(row[:1] == ["certificate expires"] for row in rows)
    assert ["Refused", "total", "last 60 s", "latest from"] in rows
    assert ["proxy not trusted", "70", "60", "2001:db8::9"] in rows
    status.tree.stopService()
    assert ": stopping</title>" in get(status.site, "/")[2]


def test_rates_are_those_of_the_last_minute() -> None:
    service = Service()
    status = Status(service)
    assert "<td>0.0</td>" in get(status.site, "/")[2]
    client = connect(service)
    client.socket.inbox.append(b"x" * 1000)
    for _ in range(130):
        client.socket.inbox.append(b"xy")
        service.run(1)
    text = get(status.site, "/")[2]
    assert "<tr><th>bytes received</th><td>1,260</td><td>2.0</td></tr>" in text
    assert "<tr><th>connections accepted</th><td>1</td><td>0.0</td></tr>" in text


def test_the_page_needs_nothing_from_elsewhere_and_loads_itself_again() -> None:
    text = get(Status(Service()).site, "/")[2]
    assert re.findall(r'(?:src|href|action|url\()="?([^">]*)', text) == ["data:,"]
    assert "content=\"default-src 'none'; " in text
    assert '<meta http-equiv="refresh" content="5">' in text


def test_nothing_on_the_page_is_markup_of_strangers() -> None:
    service = Service(max_connections=1)
    status = Status(service)
    service.connections.repeated("began", "ended", "<i>").add(host='<script>alert("x")</script>')
    service.run(1)
    text = get(status.site, "/")[2]
    assert "<td>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</td>" in text
    assert "<i>" not in text
    assert "<script" not in get(status.site, "/<script>")[2]


def test_a_reactor_that_hangs_shows() -> None:
    service = Service()
    status = Status(service)
    service.run(7)
    service.reactor.advance(20)
    service.run(1)
    assert "<tr><th>reactor late, at most</th><td>more than 10 s</td></tr>" in get(status.site, "/")[2]
