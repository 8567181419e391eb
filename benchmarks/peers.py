"""Who is measured, and how a server is started on a core of its own."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_SERVERS = Path(__file__).with_name("servers")
_TWISTD = Path(sysconfig.get_path("scripts")) / "twistd"
_PATIENCE = 30.0  # seconds for a server to start or end

#: The one that all others are compared with.
US = "tsserv"

#: Another installation of it.
BEFORE = "before"

Command = tuple[str, ...]


class Failed(Exception):
    """The benchmarks cannot go on; the message is one line that says why."""


@dataclass(frozen=True)
class Peer:
    """
    A server.

    :param name: for people, and of ``--peers``.
    :param commands: that which starts it, by what it is to do: see :class:`measures.Measure`.
    :param needs: the Python package that it cannot do without.
    """

    name: str
    commands: Mapping[str, Command]
    needs: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether what it needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def _python(*words: str) -> Command:
    return (sys.executable, *words)


def _tsserv(*options: str, twistd: Path = _TWISTD) -> Command:
    return (str(twistd), "-n", "--pidfile=", "tsserv", "--port=0", "--interface=127.0.0.1", *options)


def peers(epoll: Path, before: Path | None = None) -> list[Peer]:
    """
    Return all servers.

    :param epoll: the compiled ``servers/epoll.c``.
    :param before: the ``twistd`` of another installation of tsserv.
    """
    others = {}
    if before is not None:
        others = {
            "chunks": _tsserv(twistd=before),
            "lines": _tsserv("--framing=line", twistd=before),
        }
    return [
        *([Peer(BEFORE, others)] if others else []),
        Peer("C epoll", {"chunks": (str(epoll),), "lines": (str(epoll), "lines")}),
        Peer(
            US,
            {"chunks": _tsserv(), "lines": _tsserv("--framing=line"), "lag": _python("tsserv_lag.py")},
        ),
        Peer(
            "tsserv --no-eager",
            {"chunks": _tsserv("--no-eager"), "lag": _python("tsserv_lag.py", "--no-eager")},
        ),
        Peer("uvloop", {"chunks": _python("asyncio_protocol.py", "uvloop")}, needs="uvloop"),
        Peer("asyncio protocol", {"chunks": _python("asyncio_protocol.py")}),
        Peer(
            "asyncio streams",
            {"chunks": _python("asyncio_streams.py"), "lines": _python("asyncio_streams.py", "lines")},
        ),
        Peer("gevent", {"chunks": _python("gevent_server.py")}, needs="gevent"),
        Peer("socketserver", {"chunks": _python("socketserver_threads.py")}),
        Peer("the original", {"chunks": _python("original.py")}),
        Peer("LineReceiver", {"lines": _python("line_receiver.py")}),
    ]


def cores() -> tuple[int, int]:
    """
    Return a core for servers and one for the load, if there are, not two threads of the same one.

    :raises Failed: if there is only one.
    """
    server, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise Failed("a server and its load need two cores, and this process may use one only")
    siblings = Path(f"/sys/devices/system/cpu/cpu{server}/topology/thread_siblings_list")
    same = siblings.read_text().strip() if siblings.exists() else ""
    threads = {int(number) for number in re.findall(r"\d+", same)}
    return server, next((core for core in others if core not in threads), others[0])


def pinned(core: int) -> Callable[[], None]:
    """Return what :class:`subprocess.Popen` calls in the new process to keep it on ``core``."""
    return functools.partial(os.sched_setaffinity, 0, {core})


class Server:
    """
    A running server; call :meth:`wait_until_up` before use, and :meth:`end`.

    :param command: prints ``listening on 127.0.0.1:PORT``.
    :param core: the one on which it runs.
    :param output: the file that takes what it prints.
    """

    def __init__(self, command: Command, core: int, output: Path) -> None:
        self._command = command
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                cwd=_SERVERS,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=pinned(core),
            )
        self.pid = self._process.pid
        self.port = 0

    def wait_until_up(self) -> None:
        """
        Wait until it listens; then ``port`` is known.

        :raises Failed: if it ends, or says nothing of a port.
        """
        deadline = time.monotonic() + _PATIENCE
        while not self.port:
            ended = self._process.poll() is not None
            text = self._output.read_text(errors="replace")
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+)\n", text):
                self.port = int(found[1])
            elif ended or time.monotonic() > deadline:
                last = text.strip().rpartition("\n")[2] or "it printed nothing"
                raise Failed(f"{' '.join(self._command)} does not start: {last}")
            else:
                time.sleep(0.02)

    def lags(self) -> list[float]:
        """Return how late the timer of ``servers/tsserv_lag.py`` has been each time, in seconds."""
        return list(map(float, re.findall(r"^late by (\S+)\n", self._output.read_text(), re.MULTILINE)))

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
