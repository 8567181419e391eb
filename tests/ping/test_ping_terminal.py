"""``tsserv-ping`` as a program: in a pipe, on a terminal, and ended by a signal."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sysconfig
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pinging import Ping, serving
from processes import PATIENCE, environment

from tsserv.ping.interrupt import Interrupt
from tsserv.ping.outputs.base import Outputs, Summary
from tsserv.stamp import Stamp

PROGRAM = Path(sysconfig.get_path("scripts")) / "tsserv-ping"


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of a tsserv that answers nothing that is 100 bytes long."""

    def serve(client: socket.socket) -> None:
        for line in client.makefile("rb"):
            if len(line) != 100:
                client.sendall(Stamp("unix")() + line)

    with serving(serve) as port:
        yield port


def start(
    *arguments: object, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, **variables: str
) -> subprocess.Popen[str]:
    """Start it with arguments and environment variables."""
    return subprocess.Popen(
        [PROGRAM, *map(str, arguments)],
        env={**environment(), "TERM": "xterm", "NO_COLOR": "", **variables},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pipe_gets_each_line_at_once_and_a_signal_gets_the_summary(number: int, port: int) -> None:
    with start(f"127.0.0.1:{port}", "--interval", 60) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines[1].startswith("seq=1 ")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert "\n1 sent, 1 answered, 0 lost (0 %), " in out
    assert "\x1b" not in "".join(lines) + out
    assert (process.returncode, err) == (0, "")


def test_a_signal_when_nothing_has_been_answered(port: int) -> None:
    with start(f"127.0.0.1:{port}", "--size", 100, "--timeout", 0.1, "--interval", 60) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines[1] == "seq=1 no answer after 0.1 s\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert "\n1 sent, 0 answered, 1 lost (100 %), " in out
    assert process.returncode == 1
    assert err == f"tsserv-ping: 127.0.0.1:{port}: it takes connections, but does not answer\n"


def test_what_is_on_its_way_when_the_user_ends_it_is_not_lost(tmp_path: Path, ping: Ping) -> None:
    def interrupt(client: socket.socket) -> None:
        client.recv(65536)
        os.kill(os.getpid(), signal.SIGINT)
        client.recv(65536)

    runs: list[tuple[object, ...]] = [("--plot", tmp_path / "run.svg"), ("--flood",)]
    for options in runs:
        with serving(interrupt) as port:
            done = ping(f"127.0.0.1:{port}", "--json", *options)
        assert (done.status, done.err) == (1, "")
        counts = {name: value for name, value in done.summary.items() if value and isinstance(value, int)}
        assert counts == {"sent": 1, "pending": 1}


def test_a_signal_ends_it_while_it_connects(ping: Ping) -> None:
    def interrupt(client: socket.socket) -> None:
        client.recv(65536)
        os.kill(os.getpid(), signal.SIGINT)
        client.recv(65536)

    with serving(interrupt) as port:
        done = ping(f"127.0.0.1:{port}", "--tls")
    assert (done.status, done.out, done.err) == (3, "", "")


def test_a_signal_waits_for_the_end_of_a_step_and_a_second_one_does_not() -> None:
    interrupt = Interrupt()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        interrupt.install()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupt.__enter__()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_deadline_ends_it_whatever_is_missing(port: int) -> None:
    for options, expected in [
        (("--interval", 0.05), r"\d+ sent, [1-9]\d* answered, 0 lost"),
        (("--size", 100, "--interval", 60), r"1 sent, 0 answered, 0 lost \(0 %\), \d\.\d s\n1 pending"),
    ]:
        with start(f"127.0.0.1:{port}", "--deadline", 2, *options) as process:
            out, err = process.communicate(timeout=PATIENCE)
        assert re.search(f"\n{expected}", out)
        assert (process.returncode, err) == (0 if "--size" not in options else 1, "")


def test_a_deadline_that_passes_before_there_is_a_connection_gets_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for options, status in ((("--insecure",), 3), (("--insecure", "--nagios"), 2)):
            with start(f"127.0.0.1:{port}", "--tls", "--deadline", 0.3, *options) as process:
                out, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == status
            assert f"127.0.0.1:{port}: no connection before the deadline" in out + err
            assert (out + err).count("\n") == 1


def test_the_deadline_waits_for_the_end_of_a_step() -> None:
    interrupt = Interrupt()
    handler = signal.getsignal(signal.SIGALRM)
    try:
        interrupt.end_after(PATIENCE)
        signal.raise_signal(signal.SIGALRM)
        assert interrupt.expired
        with pytest.raises(KeyboardInterrupt):
            interrupt.__enter__()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def test_a_reader_that_goes_away_ends_it_and_files_are_whole(port: int, tmp_path: Path) -> None:
    arguments = ("--interval", 0.01, "--plot", tmp_path / "run.svg", "--csv", tmp_path / "csv")
    with start(f"127.0.0.1:{port}", *arguments) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE) == 0
    assert (tmp_path / "csv").read_text().startswith("seq,outcome,sent,")
    assert ElementTree.parse(tmp_path / "run.svg").getroot() is not None


def test_a_reader_that_is_gone_at_the_end_does_no_harm(port: int) -> None:
    with start(f"127.0.0.1:{port}", "--nagios", "--count", 1) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(closed: str, port: int) -> None:
    shell = ["/bin/sh", "-c", f'exec "$0" "$@" {closed}', str(PROGRAM)]
    arguments = [f"127.0.0.1:{port}", "--count", "1"]
    done = subprocess.run([*shell, *arguments], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("1 answered" in done.stdout) == (" >" not in f" {closed}")
    done = subprocess.run([*shell, "host:0"], env=environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert ("is not a port" in done.stderr) == ("2>" not in closed)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments", [["--count", "1"], ["--version"], ["--help"], ["--nagios", "--count", "0"]]
)
def test_output_that_cannot_be_written_gets_one_line(arguments: list[str], port: int) -> None:
    with Path("/dev/full").open("w") as full:
        with start(f"127.0.0.1:{port}", *arguments, stdout=full.fileno()) as process:
            _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert err.startswith("tsserv-ping: ")
        assert err.endswith(f"cannot write the output: {os.strerror(errno.ENOSPC)}\n")
        assert err.count("\n") == 1
        with start("host:0", stderr=full.fileno()) as process:
            out, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (2, "")


def test_help_whose_reader_has_gone_does_no_harm() -> None:
    with start("--help") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE) == 1


def test_a_second_signal_ends_it_at_once(ping: Ping) -> None:
    def interrupt_twice(client: socket.socket) -> None:
        client.recv(65536)
        os.kill(os.getpid(), signal.SIGINT)

    class Stubborn(Outputs):
        def end(self, summaries: Sequence[Summary]) -> None:
            raise KeyboardInterrupt

    with serving(interrupt_twice) as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsserv.ping.command.Outputs", Stubborn)
        done = ping(f"127.0.0.1:{port}")
    assert (done.status, done.err) == (1, "")


def on_terminal(
    stream: str, *arguments: object, columns: int = 80, variables: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Run it with ``stderr`` or ``both`` streams on a terminal; return what that got, and the rest."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    out = slave if stream == "both" else subprocess.PIPE
    with open(master, "rb", buffering=0) as terminal:  # noqa: PTH123 (a descriptor)
        with start(*arguments, stdout=out, stderr=slave, **(variables or {})) as process:
            os.close(slave)
            other = process.communicate(timeout=PATIENCE)[0] or ""
        shown = b""
        try:
            while data := terminal.read(65536):
                shown += data
        except OSError:  # Linux: the other end is closed
            pass
    return shown.decode(), other


def test_a_terminal_gets_colours_unless_its_user_wants_none(port: int) -> None:
    arguments = (f"127.0.0.1:{port}", "--count", 1, "--warn", 0)
    shown, _ = on_terminal("both", *arguments)
    assert re.search(r" \x1b\[33mrtt=\d+\.\d{3} ms\x1b\[0m ", shown)
    assert "1 sent, 1 answered" in shown
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown, _ = on_terminal("both", *arguments, variables=variables)
        assert "rtt=" in shown
        assert "\x1b" not in shown


def test_a_narrow_terminal_is_not_exceeded(port: int) -> None:
    arguments = (f"127.0.0.1:{port}", "--flood", "--duration", 0.25, "--histogram")
    shown, _ = on_terminal("both", *arguments, columns=40)
    lines = re.split(r"[\r\n]+", shown)
    bars = [line for line in lines if line.startswith("[#")]
    assert bars
    bars += [line for line in lines if re.match(r"(?:>=|  ) +[0-9.]+ ms", line)]
    assert max(len(line) for line in bars) <= 40


@pytest.mark.parametrize("columns", [40, 80])
def test_the_lines_fit_the_terminal(columns: int, port: int) -> None:
    options = ("--count", 3, "--interval", 0.01, "--reconnect", "--timestamps", "--histogram")
    shown, _ = on_terminal("both", f"127.0.0.1:{port}", *options, columns=columns)
    plain = re.sub(r"\x1b\[\d+m", "", shown)
    assert max(len(line) for line in plain.splitlines()) <= columns
    # What has no room in the line of a probe is left out; other lines are continued.
    assert len(re.findall(r"^\[\d+\.\d{6}\] seq=\d rtt=\S+ ms", plain, re.M)) == 3
    assert ("there=" in plain) == (columns == 80)
    assert "connect=" not in plain
    words = " ".join(plain.split())
    assert re.search(r" rtt min/median/mean/max = \S+ ms stddev/jitter = \S+ ms ", words)


def test_a_terminal_gets_a_progress_bar(port: int) -> None:
    arguments = (f"127.0.0.1:{port}", "--flood", "--duration", 0.25, "--json")
    shown, out = on_terminal("stderr", *arguments)
    assert re.search(r"\r\[ {40}\] 0\.0 of 0\.25 s", shown)
    assert re.search(r"\r\[#{10,40} *\] 0\.[12] of 0\.25 s", shown)
    assert shown.endswith("\r\x1b[K")
    assert out.startswith('{"type": "summary", ')
    assert on_terminal("stderr", *arguments, variables={"TERM": "dumb"})[0] == ""
