"""
A real systemd to try units on, in namespaces of its own over a throw-away view of this machine's files.

What is written in the box is gone with it, and the machine keeps what it has: files, cgroups, devices,
kernel settings, ports.  Needs root, a Linux with overlayfs and cgroup2, and :data:`PROGRAMS`.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from pathlib import Path

from processes import PATIENCE, wait_until

#: What the box is made with, and what docs/operations.md calls in it beyond systemd.
PROGRAMS = ("systemd-analyze", "unshare", "nsenter", "mount", "sysctl")

# Here python3 is the distribution's, while that of the test run may be in a folder of one user.
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_libc = ctypes.CDLL(None, use_errno=True)


def _enter_network(fd: int) -> None:
    """Have this thread make its sockets in the network namespace of ``fd`` from now on (setns(2))."""
    if _libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Box:
    """
    Boots at once.

    :param clone: a clone of the project, which is ``/clone`` in the box.
    :param folder: an empty one that the box may use; nothing is seen there from outside.
    :raises RuntimeError: if the box cannot be made; says what was printed.
    """

    def __init__(self, clone: Path, folder: Path) -> None:
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", Path(__file__).with_suffix(".sh"), "keep", clone, folder],
            env={"PATH": _PATH},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for the test run, which then ends the box
        )
        self._networks: list[int] = []
        try:
            self._boot()
        except BaseException:
            self.end()
            raise

    def _boot(self) -> None:
        assert self._keeper.stdout is not None
        with self._keeper.stdout as output:
            said = output.readline()
            if not said.strip().isdigit():
                raise RuntimeError(f"cannot make the box: {said}{output.read()}")
        #: PID 1 of the box, as this machine counts.
        self.init = int(said)
        self._networks = [os.open(f"/proc/{pid}/ns/net", os.O_RDONLY) for pid in (self.init, os.getpid())]
        wait_until(self._booted, "the boot of the box")

    def _booted(self) -> bool:
        # It is "degraded" if one of the distribution's own units wants a whole machine.
        state = self.run("systemctl is-system-running --wait", check=False)
        return state in ("running", "degraded")

    def run(self, script: str, *, check: bool = True, online: bool = False) -> str:
        """
        Run a shell script in the box, in the clone, as root.

        :param check: whether it must succeed.
        :param online: whether it has this machine's network, not that of the box.
        :return: what it printed, on standard output and standard error together, stripped.
        """
        namespaces = ["--mount", "--uts", "--ipc", "--pid", *([] if online else ["--net"])]
        done = subprocess.run(
            ["nsenter", f"--target={self.init}", *namespaces, "sh", "-ec", f"cd /clone\n{script}"],
            env={**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0 or not check, f"{script} failed:\n{done.stdout}"
        return done.stdout.strip()

    def connect(self, port: int) -> socket.socket:
        """Return a connection to ``port`` of 127.0.0.1 in the box."""
        inside, outside = self._networks
        _enter_network(inside)
        try:
            return socket.create_connection(("127.0.0.1", port), PATIENCE)
        finally:
            _enter_network(outside)

    def end(self) -> None:
        """End everything in the box, and wait until nothing is left of it."""
        for fd in self._networks:
            os.close(fd)
        self._keeper.communicate()
