"""The logs of real services: renamed, on full disks, in pipes that nobody reads."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import program
from processes import PATIENCE, TWISTD, Twistd, environment, receive, run_twistd, wait_until


def exchange(port: int) -> None:
    """Connect, send a byte and get it back."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(b"x")
        receive(client, 28)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a log file."""
    return tmp_path / "log"


def test_json_and_a_file_that_is_renamed(path: Path, serve: Callable[..., Twistd]) -> None:
    service = serve(f"--logfile={path}", "--log-format=json")
    with service.connect() as client:
        port = client.getsockname()[1]
        for data in (b"x", b"yz"):
            client.sendall(data)
            receive(client, 27 + len(data))
    service.wait_for(
        r"closed: 127\.0\.0\.1 port \d+, 3 bytes in, 57 bytes out, chunks: 2, .* ended by the client"
    )
    old = path.rename(path.with_name("old"))
    service.reload()
    wait_until(path.exists, "a new log file")
    service.stop()
    lines = [json.loads(line) for line in old.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["message", "message", "open", "close"]
    opened, closed = lines[2:]
    assert closed["time"] >= opened["time"]
    assert closed["duration"] >= 0
    for line, event in ((opened, {}), (closed, {"bytes_in": 3, "bytes_out": 57, "chunks": 2})):
        assert (line["peer"], line["port"]) == ("127.0.0.1", port)
        assert {key: line[key] for key in event} == event
    assert closed["reason"] == "ended by the client"
    assert path.stat().st_mode == old.stat().st_mode


# Becomes twistd, with lines held back until something flushes them; SIGUSR2 has the reactor crash.
HOLD_BACK = """
import signal, sys
from twisted.scripts.twistd import run
from tsserv.connections import accesslog
accesslog._HELD_BACK = 1000.0
def crash(*signal):
    from twisted.internet import reactor
    reactor.callFromThread(reactor.crash)
signal.signal(signal.SIGUSR2, crash)
del sys.argv[0]
run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2], ids=["SIGTERM", "crash"])
def test_lines_that_are_held_back_are_in_both_logs_at_the_end_in_their_place(
    number: signal.Signals, path: Path, serve: Callable[..., Twistd]
) -> None:
    service = serve(f"--logfile={path}", "--drain-timeout=0", prefix=(sys.executable, "-c", HOLD_BACK))
    with service.connect() as client:
        client.sendall(b"x")
        receive(client, 28)
        assert "connected from" not in service.output
        service.stop(number)
    events = ["listening on", "waiting for connection", "...connected from: 127.0.0.1"]
    if number == signal.SIGTERM:
        events += ["waiting up to", "connections aborted", "...closed: 127.0.0.1"]
    found = "|".join(map(re.escape, [*events, "Server Shut Down"]))
    assert re.findall(found, path.read_text()) == events
    assert re.findall(found, service.output) == [*events, "Server Shut Down"]


# Becomes twistd with a logger of its own.
LOGGER = """
import sys
from twisted.logger import ILogObserver
from twisted.scripts.twistd import run
from zope.interface import implementer
def make():
    @implementer(ILogObserver)
    def observe(event):
        print(event.get("peer"), event["log_format"].format_map(event), file=sys.__stdout__, flush=True)
    return observe
sys.argv[:2] = [sys.argv[1], "--logger=__main__.make"]
run()
"""


def test_a_logger_of_another_kind_gets_each_line_as_an_event(
    path: Path, serve: Callable[..., Twistd]
) -> None:
    service = serve(f"--logfile={path}", prefix=(sys.executable, "-c", LOGGER))
    exchange(service.port)
    service.wait_for(r"(?m)^127\.0\.0\.1 \.\.\.connected from: 127\.0\.0\.1\n")
    service.wait_for(r"(?m)^127\.0\.0\.1 \.\.\.closed: .* ended by the client\n")
    service.stop()
    assert len(re.findall(r" \[tsserv#info\] \.\.\.(connected|closed)", path.read_text())) == 2


def test_a_large_file_is_rotated_at_the_next_run_of_logrotate(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2].joinpath("etc/logrotate.d/tsserv").read_text()
    config = tmp_path / "config"
    config.write_text(
        re.sub(r"^/var/log.*(?= \{)", f"{tmp_path}/*.log", shipped).replace("systemctl", ": systemctl")
    )
    for name, size in (("small", 1), ("large", 101 << 20)):
        with (tmp_path / f"{name}.log").open("wb") as file:
            file.truncate(size)
    subprocess.run([program("logrotate"), f"--state={tmp_path}/state", config], check=True)
    assert sorted(path.name for path in tmp_path.glob("*.log*")) == ["large.log", "large.log.1", "small.log"]


def test_a_full_disk_is_one_line(serve: Callable[..., Twistd]) -> None:
    service = serve("--logfile=/dev/full")
    exchange(service.port)
    service.wait_for("closed: ")
    service.stop()
    assert service.output.count("Cannot write to the log file /dev/full: " + os.strerror(28)) == 1
    assert "Traceback" not in service.output


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="there is no prlimit()")
def test_a_file_that_cannot_grow_loses_no_line_that_fits(path: Path, serve: Callable[..., Twistd]) -> None:
    service = serve(f"--logfile={path}", "--log-format=json")

    def limit(size: int) -> None:
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    wait_until(lambda: "waiting for connection" in path.read_text(), "the second line")
    limit(path.stat().st_size + 60)  # in the middle of the next line
    exchange(service.port)
    service.wait_for(f"Cannot write to the log file {path}: File too large; lines are lost")
    limit(resource.RLIM_INFINITY)
    exchange(service.port)
    service.wait_for(r"works again; lines lost: (\d+)")
    service.stop()
    broken = []
    for line in path.read_text().splitlines():
        try:
            json.loads(line)
        except ValueError:
            broken.append(line)
    assert len(broken) == 1
    assert len(broken[0]) == 60
    assert "Traceback" not in service.output


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_standard_output_that_nobody_reads_stops_nothing(kind: str, tmp_path: Path) -> None:
    reader, writer = os.pipe() if kind == "pipe" else pty.openpty()
    if kind == "pipe" and hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = [str(TWISTD), "-n", "--pidfile=", "tsserv", "--port=0", "--interface=127.0.0.1"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=writer) as service:
        try:
            os.close(writer)
            output = b""
            while b"waiting for connection..." not in output:
                output += os.read(reader, 1 << 16)
            listening = re.search(rb"listening on 127\.0\.0\.1:(\d+)", output)
            assert listening
            for _ in range(1000):
                exchange(int(listening[1]))
            service.send_signal(signal.SIGTERM)
            assert service.wait(PATIENCE) in (0, -signal.SIGTERM)
        finally:
            service.kill()
            os.close(reader)


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_daemon_that_starts_without_standard_descriptors_has_its_logs(closed: str, tmp_path: Path) -> None:
    run_twistd(
        tmp_path,
        *("--pidfile=pid", "--logfile=twistd.log", "tsserv", "--port=0", "--interface=127.0.0.1"),
        "--logfile=own.log",
        prefix=("sh", "-c", f'exec "$@" {closed}', "sh"),
    )
    own, pid = tmp_path / "own.log", tmp_path / "pid"
    wait_until(lambda: "waiting for connection" in own.read_text(), "the start")
    listening = re.search(r"listening on 127\.0\.0\.1:(\d+)\n", own.read_text())
    assert listening
    exchange(int(listening[1]))
    os.kill(int(pid.read_text()), signal.SIGTERM)
    wait_until(lambda: not pid.exists(), "the end")
    for log in (own, tmp_path / "twistd.log"):
        assert "...closed: 127.0.0.1 port " in log.read_text()
