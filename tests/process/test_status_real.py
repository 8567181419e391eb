"""``--status`` of a real service."""

from __future__ import annotations

import http.client
import re
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from processes import PATIENCE, Twistd, receive, run_twistd, wait_until
from web import ask


def test_a_service_is_ready_until_it_stops_and_answers_until_it_ends(serve: Callable[..., Twistd]) -> None:
    service = serve("--status=0", "--drain-timeout=60")
    assert ask(service, "/ready") == (200, "ready\n")
    assert ask(service, "/live") == (200, "alive\n")
    with service.connect() as client:
        client.sendall(b"x")
        receive(client, 28)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ask(service, "/ready")[0] == 404, "the first moment of the end")
        for _ in range(20):
            client.sendall(b"x")
            receive(client, 28)
            assert ask(service, "/ready") == (404, "stopping; open connections: 1\n")
            assert ask(service, "/live")[0] == 200
        code, page = ask(service, "/")
        assert (code, f"<td>127.0.0.1:{service.port}</td>" in page) == (200, True)
    service.process.wait(PATIENCE)
    assert "Traceback" not in service.output


@pytest.mark.parametrize("no_eager", [[], ["--no-eager"]])
def test_many_slow_clients_keep_no_health_check_out(
    no_eager: list[str], serve: Callable[..., Twistd]
) -> None:
    service = serve("--status=0", *no_eager)
    port = int(service.wait_for(r"status on 127\.0\.0\.1:(\d+)\n")[1])
    slow = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(40)]
    for client in slow:
        with suppress(ConnectionError):  # it has made room for another
            client.sendall(b"GET /ready HTTP/1.1\r\n")
    for _ in range(20):
        assert ask(service, "/ready") == (200, "ready\n")
    for client in slow:
        client.close()


def test_it_listens_on_a_unix_socket_too(serve: Callable[..., Twistd], tmp_path: Path) -> None:
    serve("--status=unix:status")
    connection = http.client.HTTPConnection("x")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(f"{tmp_path}/status")
    connection.request("GET", "/ready")
    assert connection.getresponse().read() == b"ready\n"
    connection.close()


def test_each_log_tells_what_it_has_lost(serve: Callable[..., Twistd]) -> None:
    service = serve("--status=0", "--logfile=/dev/full")
    status, text = ask(service, "/metrics")
    assert status == 200
    assert re.search(r'^tsserv_log_lines_lost_total{log="file"} [1-9]', text, re.MULTILINE)
    assert 'tsserv_log_lines_lost_total{log="stdout"} 0.0\n' in text


def test_clients_can_connect_during_the_delay_while_balancers_see_that_it_stops(
    serve: Callable[..., Twistd],
) -> None:
    service = serve("--status=0", "--drain-delay=3600")
    service.process.send_signal(signal.SIGTERM)
    service.wait_for(r"stopping in 3600 s \(--drain-delay\)\n")
    assert ask(service, "/ready") == (404, "stopping; open connections: 0\n")
    with service.connect() as client:
        client.sendall(b"x")
        assert receive(client, 28)[27:] == b"x"
        assert ask(service, "/ready") == (404, "stopping; open connections: 1\n")
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("waiting up to 5 s for 1 connections\n")
        client.sendall(b"y")
        assert receive(client, 28)[27:] == b"y"
    service.process.wait(PATIENCE)
    assert "aborted" not in service.output
    assert "Traceback" not in service.output


def test_ctrl_c_has_no_delay(serve: Callable[..., Twistd]) -> None:
    service = serve("--drain-delay=3600")
    service.stop(signal.SIGINT)
    assert "--drain-delay" not in service.output


def test_a_check_listens_nowhere_and_ends_with_its_verdict(
    serve: Callable[..., Twistd], tmp_path: Path
) -> None:
    service = serve()
    taken = f"tcp:{service.port}:interface=127.0.0.1"
    good = run_twistd(
        tmp_path, "-n", "--pidfile=", "tsserv", "--check", f"--listen={taken}", f"--status={taken}"
    )
    assert (good.returncode, good.stdout, good.stderr) == (0, "tsserv: options are good\n", "")
    bad = run_twistd(tmp_path, "-n", "--pidfile=", "tsserv", "--check", "--status=x")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert re.fullmatch(r"twistd tsserv: --status: 'x': .*\n", bad.stderr)
    assert list(tmp_path.iterdir()) == []
