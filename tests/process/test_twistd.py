"""The service under a real ``twistd``, in the foreground and in the background."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import program
from processes import PATIENCE, TWISTD, Twistd, environment, receive, run_twistd, wait_until


def test_the_foreground_says_what_it_does_and_ends_by_sigterm(serve: Callable[..., Twistd]) -> None:
    service = serve()
    with service.connect() as client:
        client.sendall(b"x")
        receive(client, 28)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    # twistd ends by the signal that it got (0 in Twisted before 22.10)
    assert service.stop() in (0, -signal.SIGTERM)
    *said, closed = re.findall(r"\[tsserv\S+\] (.*)", service.output)
    assert said == [
        f"listening on 127.0.0.1:{service.port}",
        "waiting for connection...",
        "...connected from: 127.0.0.1",
    ]
    assert closed.startswith("...closed: 127.0.0.1 port ")


@pytest.mark.parametrize("command", [[TWISTD.with_name("tsserv")], [sys.executable, "-m", "tsserv"]])
def test_the_command_tsserv_is_twistd_in_the_foreground(command: list[str | Path], tmp_path: Path) -> None:
    service = Twistd(tmp_path, command=command)
    try:
        service.wait_until_up()
        with service.connect() as client:
            client.sendall(b"x")
            assert receive(client, 28).endswith(b" x")
    finally:
        service.end()
    assert list(tmp_path.iterdir()) == []  # no pid file
    wrong = subprocess.run([*command, "--port=x"], env=environment(), capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (1, "", 1)


def test_its_own_log_holds_its_own_lines_and_is_appended_to(
    tmp_path: Path, serve: Callable[..., Twistd]
) -> None:
    path = tmp_path / "own.log"
    for runs in (1, 2):
        service = serve("--logfile=own.log")
        with service.connect() as client:
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        service.stop()
        lines = path.read_text().splitlines()
        assert len(lines) == 3 * runs
        assert all(re.fullmatch(r"\S+ \[tsserv\S+\] .+", line) for line in lines)
        assert lines[-1].endswith("...connected from: 127.0.0.1")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[int]:
    """Start the service in the background, with the umask 022; return its port."""
    umask = os.umask(0o022)
    done = run_twistd(
        tmp_path,
        *("--pidfile=daemon.pid", "--logfile=daemon.log", "tsserv"),
        *("--port=0", "--interface=127.0.0.1", "--logfile=own.log"),
    )
    os.umask(umask)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    port = re.search(r"listening on 127\.0\.0\.1:(\d+)\n", (tmp_path / "daemon.log").read_text())
    assert port
    yield int(port[1])
    if (tmp_path / "daemon.pid").exists():
        end_daemon(tmp_path)


def end_daemon(folder: Path) -> None:
    """Send SIGTERM to the process that the pid file names, and wait until it has ended."""
    pid = int((folder / "daemon.pid").read_text())

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    os.kill(pid, signal.SIGTERM)
    wait_until(gone, f"end of process {pid}")


def exchange(port: int) -> None:
    """Send a byte and get it back."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(b"x")
        assert receive(client, 28)[27:] == b"x"


def test_the_background_answers_and_sigterm_takes_the_pid_file_away(tmp_path: Path, daemon: int) -> None:
    exchange(daemon)
    end_daemon(tmp_path)
    assert not (tmp_path / "daemon.pid").exists()
    for name in ("daemon.log", "own.log"):
        assert "...connected from: 127.0.0.1\n" in (tmp_path / name).read_text()
    with pytest.raises(ConnectionRefusedError):
        exchange(daemon)


@pytest.mark.usefixtures("daemon")
def test_the_umask_of_who_starts_the_daemon_decides_who_may_read_its_log(tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "own.log").stat().st_mode) == 0o644


def test_sigusr1_rotates_the_log_of_twistd(tmp_path: Path, daemon: int) -> None:
    os.kill(int((tmp_path / "daemon.pid").read_text()), signal.SIGUSR1)
    wait_until((tmp_path / "daemon.log.1").exists, "rotation")
    exchange(daemon)
    wait_until(lambda: "...connected from" in (tmp_path / "daemon.log").read_text(), "a line in the new log")


USAGE = " (see twistd tsserv --help)\n"


@pytest.mark.parametrize(
    "mode", [["-n"], ["--pidfile=pid", "--logfile=log"]], ids=["foreground", "background"]
)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "abc"], "--port: 'abc' is not a whole number from 0 to 65535"),
        (["--port", "65536"], "--port: '65536' is not a whole number from 0 to 65535"),
        (["--port", ""], "--port: '' is not a whole number from 0 to 65535"),
        (["--port"], "option --port requires argument"),
        (["--backlog", "0"], "--backlog: '0' is not a whole number from 1 to 2147483647"),
        (["--interface", "eth0"], "--interface: 'eth0' is not an IPv4 or IPv6 address"),
        (["--speed", "9"], "option --speed not recognized"),
        (["21567"], "unexpected argument '21567'"),
        (["--logfile", "nowhere/log"], "--logfile: cannot open 'nowhere/log': No such file or directory"),
        (["--logfile", "."], "--logfile: cannot open '.': Is a directory"),
    ],
)
def test_bad_usage_gets_one_line(mode: list[str], options: list[str], message: str, tmp_path: Path) -> None:
    done = run_twistd(tmp_path, *mode, "tsserv", *options)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"twistd tsserv: {message}{USAGE}")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port of 127.0.0.1 that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def without_permission() -> tuple[str, ...]:
    """Return what to put before a command so that it may not listen on port 1."""
    free = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if free.exists() and int(free.read_text()) <= 1:
        pytest.skip("here everybody may listen on port 1")
    return (program("setpriv"), "--bounding-set=-net_bind_service") if os.geteuid() == 0 else ()


def refusals(port: int) -> dict[str, tuple[tuple[str, ...], str, int, str]]:
    """Return what cannot be listened on: a prefix of the command, interface, port and the system's reason."""
    return {
        "in use": ((), "127.0.0.1", port, "Address already in use"),
        "not of this machine": ((), "192.0.2.77", port, "Cannot assign requested address"),
        "not permitted": (without_permission(), "127.0.0.1", 1, "Permission denied"),
    }


@pytest.mark.parametrize("refusal", ["in use", "not of this machine", "not permitted"])
@pytest.mark.parametrize("options", [(), ("--logfile=log",)], ids=["log shown", "log in a file"])
def test_a_foreground_that_cannot_listen_says_so_and_ends(
    refusal: str, options: tuple[str, ...], taken: int, tmp_path: Path
) -> None:
    prefix, interface, port, reason = refusals(taken)[refusal]
    done = run_twistd(
        tmp_path, "-n", "--pidfile=pid", *options, "tsserv", "-i", interface, "-p", str(port), prefix=prefix
    )
    message = f"{reason}: cannot listen on {interface}:{port}\n"
    log = (tmp_path / "log").read_text() if options else done.stdout
    assert (done.returncode, done.stderr) == (1, message)
    assert log.endswith(f"[tsserv#critical] {message}")
    assert "Traceback" not in log
    assert not (tmp_path / "pid").exists()


@pytest.mark.parametrize("refusal", ["in use", "not of this machine", "not permitted"])
def test_a_daemon_that_cannot_listen_says_so_and_ends(refusal: str, taken: int, tmp_path: Path) -> None:
    prefix, interface, port, reason = refusals(taken)[refusal]
    done = run_twistd(
        tmp_path, "--pidfile=pid", "--logfile=log", "tsserv", "-i", interface, "-p", str(port), prefix=prefix
    )
    message = f"{reason}: cannot listen on {interface}:{port}"
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    wait_until(lambda: (tmp_path / "log").read_text().endswith(f"{message}\n"), "the line in the log")
    assert "Traceback" not in (tmp_path / "log").read_text()
    wait_until(lambda: not (tmp_path / "pid").exists(), "the end of the pid file")


def test_a_daemon_gives_the_reason_however_long_the_place_is(tmp_path: Path) -> None:
    place = f"unix:{'x' * 200}"
    done = run_twistd(tmp_path, "--pidfile=pid", "--logfile=log", "tsserv", f"--listen={place}")
    assert done.returncode == 1
    assert "CannotStart: AF_UNIX path too long: cannot listen on unix:xxx" in done.stderr
    wait_until(lambda: f"cannot listen on {place}\n" in (tmp_path / "log").read_text(), "the line in the log")


def test_help_and_version(tmp_path: Path) -> None:
    shown = run_twistd(tmp_path, "tsserv", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    for option in ("--backlog=", "--help", "-i, --interface=", "-l, --logfile=", "-p, --port=", "--version"):
        assert option in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    version = run_twistd(tmp_path, "tsserv", "--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"tsserv \d+\.\d+\.\d+\S*, Twisted \S+\n", version.stdout)


def test_twistd_lists_the_plugin(tmp_path: Path) -> None:
    assert re.search(r"^    tsserv +A timestamp service", run_twistd(tmp_path, "--help").stdout, re.MULTILINE)


def test_another_twistd_imports_nothing_of_the_service(tmp_path: Path) -> None:
    """Every run of twistd imports every plugin."""
    code = (
        "import sys, twisted.plugins.tsserv_plugin; print([m for m in sys.modules if m.startswith('tsserv')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_what_no_option_asks_for_is_not_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from tsserv.tap import Options, makeService; config = Options();"
        "config.parseOptions(['--port=0']); makeService(config);"
        "names = 'twisted.web', 'prometheus_client', 'tsserv.status', 'tsserv.layers';"
        "print([name for name in sys.modules if name.startswith(names)])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == b"[]\n"
