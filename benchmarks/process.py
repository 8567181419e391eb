"""A running server, and the cores for servers and load."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from catalog import Command

_SERVERS = Path(__file__).with_name("servers")
_PATIENCE = 30.0  # seconds for a server to start
_END = 5.0  # seconds for a server to end by itself
_POLL = 0.002  # seconds between two looks at a server that starts

# Twisted's TCPServer logs "Factory starting on PORT".
_LISTENING = re.compile(r"(?:listening on 127\.0\.0\.1:|Factory starting on )(\d+)\n")


class Failed(Exception):
    """The benchmarks cannot go on; the message is one line with the reason."""


def cores() -> tuple[int, int]:
    """
    Return a core for the servers and one for the load; not two threads of one core, if there is a choice.

    :raises Failed: if there is only one.
    """
    server, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise Failed("a server and its load need two cores, and this process may use only one")
    siblings = Path(f"/sys/devices/system/cpu/cpu{server}/topology/thread_siblings_list")
    same = siblings.read_text().strip() if siblings.exists() else ""
    threads = {int(number) for number in re.findall(r"\d+", same)}
    return server, next((core for core in others if core not in threads), others[0])


def pinned(core: int) -> Callable[[], None]:
    """Return a ``preexec_fn`` of :class:`subprocess.Popen` that keeps the process on ``core``."""
    return functools.partial(os.sched_setaffinity, 0, {core})


class RunningServer:
    """
    A running server.  Call :meth:`wait_until_up` before use, and :meth:`end` in the end.

    :param command: a command that prints ``listening on 127.0.0.1:PORT``.
    :param core: the core on which it runs.
    :param output: the file for its output.
    """

    def __init__(self, command: Command, core: int, output: Path) -> None:
        self._command = command
        self._output = output
        self._begun = time.monotonic()
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                cwd=_SERVERS,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=pinned(core),
                # An installed service has bytecode; a clone must be allowed to write it.
                env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            )
        self.port = 0
        self.start = 0.0  # seconds until it listened

    def wait_until_up(self) -> None:
        """
        Wait until it listens; then ``port`` and ``start`` are known.

        :raises Failed: if it ends, or prints no port.
        """
        deadline = time.monotonic() + _PATIENCE
        while not self.port:
            ended = self._process.poll() is not None
            text = self._output.read_text(errors="replace")
            if found := _LISTENING.search(text):
                self.start = time.monotonic() - self._begun
                self.port = int(found[1])
            elif ended or time.monotonic() > deadline:
                last = text.strip().rpartition("\n")[2] or "it printed nothing"
                raise Failed(f"{' '.join(self._command)} does not start: {last}")
            else:
                time.sleep(_POLL)

    @property
    def pids(self) -> str:
        """Its process ids, children included, separated by commas."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return ",".join([str(pid), *children])

    def lags(self, since: float) -> list[float]:
        """Return how many seconds late the timer of ``servers/tsserv_lag.py`` was, each time it fired."""
        ticks = re.findall(r"^late by (\S+) at (\S+)\n", self._output.read_text(), re.MULTILINE)
        return [float(lag) for lag, at in ticks if float(at) >= since]

    def end(self) -> None:
        """End it, by force if it does not end by itself."""
        self._process.terminate()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
