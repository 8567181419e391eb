"""Real ``twistd`` processes, and plain sockets to talk to them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TWISTD = Path(sysconfig.get_path("scripts")) / "twistd"

#: A stamp of the default format.
STAMP = re.compile(rb"\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ")

# How long an event may take on the slowest machine, in seconds; reached only by a failing test.
PATIENCE = 60.0


def environment() -> Mapping[str, str]:
    """Return the environment for a process: a user's, and what coverage needs if it measures this run."""
    # Without a buffer some failures of the standard streams do not show.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if any(name.startswith("COVERAGE_PROCESS") for name in environ):
        environ["PYTHONPATH"] = str(Path(__file__).with_name("coverage_at_signal"))
    return environ


def run_twistd(
    folder: Path, *arguments: str, prefix: tuple[str, ...] = (), stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run a ``twistd`` that ends at once, as it does with bad arguments or when it goes to the background."""
    return subprocess.run(
        [*prefix, TWISTD, *arguments],
        cwd=folder,
        env=environment(),
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Wait for an event that nothing announces."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)


#: Has a command take standard input for the one socket that systemd passes, by the name ``web``.
PASS = ("sh", "-c", 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec "$@" 3<&0 </dev/null', "sh")


class Twistd:
    """``twistd -n tsserv`` on a port of 127.0.0.1 that the system chooses."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        reactor: str = "default",
        prefix: tuple[str, ...] = (),
        preexec_fn: Callable[[], None] | None = None,
        passed: socket.socket | None = None,
        command: Sequence[str | Path] | None = None,
    ) -> None:
        """
        :param folder: where it runs.
        :param options: of ``twistd tsserv``; a later one takes the place of an earlier one.
        :param reactor: which of twistd's reactors serves.
        :param prefix: a command that becomes twistd, as ``env`` does.
        :param preexec_fn: called in the new process before it becomes twistd.
        :param passed: a listening socket, handed over as systemd does it, in place of a port.
        :param command: runs the service in place of ``twistd -n``.
        """
        twistd = (TWISTD, "-n", "--pidfile=", f"--reactor={reactor}", "tsserv")
        self.process = subprocess.Popen(
            [
                *(PASS if passed else ()),
                *prefix,
                *(command or twistd),
                *(() if passed else ("--port=0", "--interface=127.0.0.1")),
                *options,
            ],
            cwd=folder,
            env=environment(),
            preexec_fn=preexec_fn,
            stdin=passed.fileno() if passed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        """All that it has printed."""
        return "".join(self._lines)

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        """Wait until it has printed ``pattern`` ``count`` times; return the last match."""

        def found() -> list[re.Match[str]]:
            return list(re.finditer(pattern, self.output))

        with self._news:
            self._news.wait_for(lambda: len(found()) >= count or self._ended, PATIENCE)
        assert len(found()) >= count, f"no {pattern!r} in:\n{self.output}"
        return found()[count - 1]

    def wait_until_up(self) -> None:
        """Wait until it says that it listens."""
        self.wait_for(r"waiting for connection\.\.\.\n")
        self.port = int(self.wait_for(r"listening on \S+:(\d+)\n")[1])

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        """Return a new connection to it."""
        return socket.create_connection((host, self.port), PATIENCE)

    def memory(self) -> int:
        """Return how much of it is in memory, in bytes (Linux: proc(5))."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit status as :mod:`subprocess` has it."""
        self.process.send_signal(signal_number)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def reload(self) -> None:
        """Have it renew what can be renewed."""
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """End it if it runs, and let go of its output."""
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()


def receive(connection: socket.socket, size: int) -> bytes:
    """Read exactly ``size`` bytes."""
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"closed after {len(data)} of {size} bytes"
        data += piece
    return data


def send_all_and_read_to_the_end(connection: socket.socket, data: bytes) -> bytes:
    """Send ``data`` and shut the sending side, reading meanwhile; close, and return what has come."""

    def send() -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    answer = bytearray()
    with connection:
        sender = threading.Thread(target=send)
        sender.start()
        while piece := connection.recv(1 << 20):
            answer += piece
        sender.join()
    return bytes(answer)
