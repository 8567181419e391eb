"""
Every system call of a short life fails once: the service serves on, or ends with one line.

A short life is: start, one exchange, SIGHUP, another exchange, SIGTERM.  strace makes one system call of it
fail in each run.  By default the first and last call of each name fail; with ``TSSERV_SWEEP=all`` every call.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import program
from processes import PATIENCE, TWISTD, environment

# How calls fail.  Other calls cannot fail in a way that a program could handle, or are Python's own.
ERRORS = {
    "accept4": ("ENFILE", "EPROTO", "ECONNABORTED"),
    "bind": ("EADDRINUSE",),
    "close": ("EIO",),
    "epoll_create1": ("EMFILE",),
    "epoll_ctl": ("ENOSPC",),
    "fstat": ("EIO",),
    "getsockname": ("ENOBUFS",),
    "ioctl": ("EIO",),
    "listen": ("EADDRINUSE",),
    "newfstatat": ("EIO",),
    "openat": ("EMFILE", "EIO"),
    "recvfrom": ("ECONNRESET",),
    "sendto": ("ENOBUFS", "ECONNREFUSED"),
    "setsockopt": ("ENOPROTOOPT",),
    "shutdown": ("ENOTCONN",),
    "socket": ("EMFILE",),
    "unlink": ("EIO",),
    "write": ("ENOSPC", "EIO"),
}

# Calls whose failure is not the service's to handle: of the reactor and Python for their wake-up pipe, by
# which a file that is open is looked at, and by which the reactor forgets one, which cannot fail.
NOT_OURS = re.compile(r'^write\(\d+, "[^"]*", 1\)|^<... write resumed>|S_IFIFO|AT_EMPTY_PATH|EPOLL_CTL_DEL')


class Life(NamedTuple):
    """What became of one run."""

    status: int
    #: Standard error of the service.
    stderr: str
    #: Its log, and its own log file.
    log: str
    #: The system calls from the first socket on, as strace writes them.
    calls: list[str]
    #: What went wrong, if the service neither served on nor ended with one line.
    fault: str


def live(folder: Path, inject: str = "") -> Life:
    """Let the service live for a short time; ``inject`` is strace's description of the failure."""
    folder.mkdir()
    trace = folder / "trace"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(PATIENCE)
        with (folder / "log").open("wb") as log, (folder / "stderr").open("wb") as stderr:
            run = subprocess.Popen(
                [
                    *(
                        program("strace"),
                        "-f",
                        "--seccomp-bpf",
                        "-o",
                        trace,
                        "-e",
                        f"trace={','.join(ERRORS)}",
                    ),
                    *(("-e", f"inject={inject}") if inject else ()),
                    *(TWISTD, "-n", "--pidfile=", "tsserv", "--port=0", "--interface=127.0.0.1"),
                    *("--logfile=own.log", "--drain-timeout=0.5"),
                ],
                cwd=folder,
                env={**environment(), "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "200000"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=stderr,
            )
            fault = ""
            try:
                fault = follow(run, systemd, folder)
            finally:
                if run.poll() is None:
                    with suppress(ProcessLookupError):
                        os.kill(child(run), signal.SIGKILL)
                run.wait(PATIENCE)
    text = trace.read_text()
    calls = [line.partition(" ")[2].strip() for line in text.splitlines()]
    first = next((place for place, call in enumerate(calls) if call.startswith("socket(")), len(calls))
    read = [(folder / name).read_text() if (folder / name).exists() else "" for name in ("log", "own.log")]
    return Life(run.returncode, (folder / "stderr").read_text(), "".join(read), calls[first:], fault)


def child(run: subprocess.Popen[bytes]) -> int:
    """Return the process that strace runs."""
    return int(Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])


def follow(run: subprocess.Popen[bytes], systemd: socket.socket, folder: Path) -> str:
    """Lead the service through its life; return what went wrong, or an empty string."""

    def wait_for(state: str) -> bool:
        """Return whether systemd is told ``state`` before the service ends."""
        systemd.settimeout(0.1)
        for _ in range(int(PATIENCE / 0.1)):
            with suppress(TimeoutError):
                if state in systemd.recv(4096).decode():
                    return True
                continue
            if run.poll() is not None:
                return False
        return False

    if not wait_for("READY=1"):
        return "" if run.poll() is not None else "neither ready nor ended"
    process = child(run)
    [port] = [
        int(line.split()[1].rpartition(":")[2], 16)
        for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in sockets(process)
    ]
    exchange(port)  # may be the one that the failure meets
    if not exchange(port):
        return "does not answer"
    os.kill(process, signal.SIGHUP)
    for state in ("RELOADING=1", "READY=1"):
        if not wait_for(state):
            return f"never says {state} after SIGHUP"
    exchange(port)
    if not exchange(port):
        return "does not answer after SIGHUP"
    if not (wait_for("WATCHDOG=1") and wait_for("WATCHDOG=1") and wait_for("WATCHDOG=1")):
        return "gives no signs of life"
    os.kill(process, signal.SIGTERM)
    try:
        run.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return "does not end"
    return ""


def sockets(process: int) -> set[str]:
    """Return the inodes of the sockets of a process."""
    links = []
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            links.append(str(descriptor.readlink()))
    return {link.removeprefix("socket:[").removesuffix("]") for link in links}


def exchange(port: int) -> bool:
    """Return whether a client that sends a line and half-closes gets its answer and the end."""
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b"x\n")
            client.shutdown(socket.SHUT_WR)
            data = b""
            while piece := client.recv(100):
                data += piece
    except OSError:
        return False
    return data.endswith(b"] x\n")


def failures(folder: Path) -> Iterator[tuple[str, str]]:
    """Return the failures to inject, as strace describes them, with the call that each meets."""
    life = live(folder)
    assert not life.fault, (life.fault, life.log)
    names = [call.partition("(")[0] for call in life.calls]
    lines = (folder / "trace").read_text().splitlines()[: -len(names)]
    before = Counter(line.partition(" ")[2].strip().partition("(")[0] for line in lines)
    total = Counter(names)
    seen: Counter[str] = Counter()
    for name, call in zip(names, life.calls, strict=True):
        if name not in ERRORS or NOT_OURS.search(call):
            continue
        seen[name] += 1
        if os.environ.get("TSSERV_SWEEP") == "all" or seen[name] in (1, total[name]):
            for error in ERRORS[name]:
                yield f"{name}:error={error}:when={before[name] + seen[name]}", call


@pytest.mark.once
@pytest.mark.timeout(1800)
def test_every_system_call_may_fail(tmp_path: Path) -> None:
    if subprocess.run([program("strace"), "-f", "--seccomp-bpf", "true"], capture_output=True).returncode:
        pytest.skip("strace may not trace here")
    wrong = []
    for number, (inject, call) in enumerate(failures(tmp_path / "whole")):
        life = live(tmp_path / str(number), inject)
        met = [call for call in life.calls if call.endswith("(INJECTED)")]
        if any(map(NOT_OURS.search, met)):
            continue
        fault = life.fault
        ended_early = "waiting for connection" not in life.log
        if not fault and "Traceback" in life.log + life.stderr:
            fault = "traceback"
        if not fault and ended_early and (life.status != 1 or life.stderr.count("\n") != 1):
            fault = "did not start, and did not end with status 1 and one line"
        if fault:
            wrong.append(f"{inject}: {fault}; {met} instead of {call}\n{life.stderr}{life.log[-2000:]}")
    assert not wrong, f"{len(wrong)} failures:\n" + "\n".join(wrong)
