"""What systemd is told of the service: ready, reloading, stopping, still alive (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger("tsserv")

# How old the number of connections in `systemctl status` may be, in seconds.
_STATUS_INTERVAL = 5.0


class Notifier(Service):
    """
    Tells systemd, and the log, when the service is ready; started last and stopped first.

    Without ``NOTIFY_SOCKET`` in the environment nothing is told, as there is nobody to tell.

    :param clock: times the signs of life; they stop when the reactor hangs.
    :param connections: returns how many are open.
    :param environ: says where to send, and how often signs of life are expected.
    """

    def __init__(
        self,
        clock: IReactorTime,
        connections: Callable[[], int],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._connections = connections
        self._address = environ.get("NOTIFY_SOCKET", "")
        # Half of what systemd allows (sd_watchdog_enabled(3)), and it may be for another process.
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog = int(environ.get("WATCHDOG_USEC", 0)) / 2e6 if ours else 0.0
        self._life = LoopingCall(self._alive)
        self._life.clock = clock

    def startService(self) -> None:
        """Say that every listener listens."""
        super().startService()
        _log.info("waiting for connection...")
        self._tell("READY=1")
        if self._address:
            self._life.start(min(self._watchdog or _STATUS_INTERVAL, _STATUS_INTERVAL))

    def stopService(self) -> None:
        """Say that the service stops; signs of life go on while connections finish."""
        super().stopService()
        self._tell("STOPPING=1")

    def reload(self, *steps: Callable[[], None]) -> None:
        """Run ``steps``, and say before that a reload begins and after that it is over."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        for step in steps:
            step()
        self._tell("READY=1")

    def _alive(self) -> None:
        self._tell(f"WATCHDOG=1\nSTATUS=connections: {self._connections()}")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to_systemd:
            try:
                to_systemd.sendto(state.encode(), socket.MSG_DONTWAIT, name)
            except OSError as error:
                _log.warn("Cannot tell systemd {state!r}: {error}", state=state, error=error)
