"""Messages to systemd about the service: ready, reloading, stopping, alive (sd_notify(3))."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Mapping

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

_log = Logger("tsserv")

# How old the number of connections in `systemctl status` may be, in seconds.
_STATUS_INTERVAL = 5.0

# However little time the watchdog allows, signs of life are this far apart, in seconds: they must not become
# a busy loop.
_SHORTEST_INTERVAL = 0.1

# While connections finish, each sign of life asks for time until the third one after it, so that two may be
# lost.
_EXTENSION = 3


class Notifier(Service):
    """
    Tells systemd, and the log, when the service is ready; started last and stopped first.

    A state (ready, reloading, stopping) that cannot be sent is kept, and sent again with each sign of life
    until it has been sent; a sign of life that cannot be sent is dropped. Without ``NOTIFY_SOCKET`` in the
    environment nothing is sent.

    :param clock: times the signs of life; they stop when the reactor hangs.
    :param connections: returns how many are open.
    :param environ: says where to send, and how often signs of life are expected.
    :param delayed: returns whether the service waits before it stops, even without connections.
    """

    def __init__(
        self,
        clock: IReactorTime,
        connections: Callable[[], int],
        environ: Mapping[str, str] = os.environ,
        *,
        delayed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._connections = connections
        self._delayed = delayed
        self._environ = environ
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._interval = _STATUS_INTERVAL  # between signs of life, in seconds
        self._socket: socket.socket | None = None  # kept open: a new one could fail when it is needed
        self._unsent: dict[str, str] = {}  # states, oldest first, by what stands before the "="
        self._failing = False  # whether the last message could not be sent

    def startService(self) -> None:
        """Say that every listener listens, and begin with the signs of life."""
        super().startService()
        _log.info("waiting for connection...")
        self._interval = _interval(self._environ)
        self._send_state("READY=1")
        if self._address:
            self._send_sign_of_life()

    def stopService(self) -> None:
        """Say that the service stops; signs of life go on while connections finish."""
        super().stopService()
        self._send_state("STOPPING=1" + self._extension())

    def reload(self, *steps: Callable[[], None]) -> None:
        """Say that a reload begins, run all ``steps``, even if some fail, and say that the reload is over."""
        self._send_state(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        for step in steps:
            try:
                step()
            except Exception:  # systemd would wait for the end of the reload
                _log.failure("Cannot reload everything: {step} failed", step=step)
        self._send_state("READY=1")

    def _send_sign_of_life(self) -> None:
        # First of all, so that no exception can end the signs of life.
        self._clock.callLater(self._interval, self._send_sign_of_life)
        self._send_unsent()
        count = self._connections()
        more_time = self._extension() if count or self._delayed() else ""
        self._send(f"WATCHDOG=1\nSTATUS=connections: {count}{more_time}")

    def _extension(self) -> str:
        """Return what asks for more time than the unit's TimeoutStopSec while the service stops."""
        return "" if self.running else f"\nEXTEND_TIMEOUT_USEC={round(self._interval * _EXTENSION * 1e6)}"

    def _send_state(self, state: str) -> None:
        if self._address:
            kind = state.partition("=")[0]
            self._unsent.pop(kind, None)  # superseded by this one, and it belongs behind the others
            self._unsent[kind] = state
            self._send_unsent()

    def _send_unsent(self) -> None:
        for kind, state in list(self._unsent.items()):
            if not self._send(state):
                return  # the later ones would arrive before it
            del self._unsent[kind]

    def _send(self, message: str) -> bool:
        """Send a message and return whether that was possible; it is logged when it begins to fail."""
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, address)
        except OSError as error:
            if not self._failing:
                _log.warn(
                    "Cannot notify systemd at NOTIFY_SOCKET={address!r}: {error}; trying again every "
                    "{interval:g} s",
                    address=self._address,
                    error=error.strerror or error,
                    interval=self._interval,
                )
            self._failing = True
        else:
            self._failing = False
        return not self._failing


def _interval(environ: Mapping[str, str]) -> float:
    """Return the seconds between signs of life: half of what systemd allows (sd_watchdog_enabled(3))."""
    allowed = environ.get("WATCHDOG_USEC", "")
    ours = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    if not ours or not re.fullmatch("[0-9]{1,18}", allowed) or int(allowed) == 0:
        return _STATUS_INTERVAL
    return max(_SHORTEST_INTERVAL, min(int(allowed) / 2e6, _STATUS_INTERVAL))
