"""Ctrl-C and SIGTERM, which end a run between two steps and never within one."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupt:
    """
    Raises :class:`KeyboardInterrupt` where the program waits, so that what it has begun to count is counted.

    Use it as a context manager around each wait.  A second signal is raised wherever it comes.
    """

    def __init__(self) -> None:
        self._asked = False
        self._waiting = False

    def install(self) -> None:
        """Take over the signals, those that are not ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)

    def __enter__(self) -> None:
        self._waiting = True
        if self._asked:
            self.__exit__()
            raise KeyboardInterrupt

    def __exit__(self, *exception: object) -> None:
        self._waiting = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._waiting or self._asked:
            raise KeyboardInterrupt
        self._asked = True
