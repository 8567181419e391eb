"""Ctrl-C, SIGTERM and the deadline: they end a run between two steps and never within one."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupt:
    """
    Raises :class:`KeyboardInterrupt` only where the program waits, so that the counters stay consistent.

    Use it as a context manager around each wait.  A second signal raises immediately.
    """

    def __init__(self) -> None:
        self._requested = False
        self._waiting = False
        #: Whether the deadline has passed.
        self.expired = False

    def install(self) -> None:
        """Handle SIGINT and SIGTERM, unless they are ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)

    def end_after(self, seconds: float) -> None:
        """Set the deadline."""
        signal.signal(signal.SIGALRM, self._expire)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def __enter__(self) -> None:
        self._waiting = True
        if self._requested:
            self.__exit__()
            raise KeyboardInterrupt

    def __exit__(self, *exception: object) -> None:
        self._waiting = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._waiting or self._requested:
            raise KeyboardInterrupt
        self._requested = True

    def _expire(self, number: int, frame: FrameType | None) -> None:
        self.expired = self._requested = True
        if self._waiting:
            raise KeyboardInterrupt
