"""What signals do to the service."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads


class Signals(Service):
    """
    SIGHUP reloads; the first SIGTERM or SIGINT stops the reactor, the next ends the wait for its end.

    Without it Python would die of a SIGHUP, and of a SIGTERM before the reactor runs, with clients
    already connected; and Twisted would log a traceback for the second SIGTERM, which it cannot use.

    :param reactor: its own handlers get the first signal.
    :param reload: called in the reactor's thread for each SIGHUP.
    :param hurry: called in the reactor's thread for each further SIGTERM or SIGINT.
    """

    def __init__(
        self, reactor: IReactorCore, *, reload: Callable[[], None], hurry: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._reload = reload
        self._hurry = hurry
        self._early: int | None = None  # the signal that came before the reactor ran
        self._stopping = False

    def privilegedStartService(self) -> None:
        """Take the signals over, before anybody can connect."""
        signal.signal(signal.SIGHUP, lambda number, frame: self._soon(self._reload))
        # The reactor sets its handlers when it begins to run.
        self._reactor.callWhenRunning(self._wrap_handlers)
        signal.signal(signal.SIGTERM, self._put_off)

    def _put_off(self, number: int, frame: FrameType | None) -> None:
        self._early = number

    def _wrap_handlers(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler):  # a shell has its background jobs ignore SIGINT
                signal.signal(number, self._first_or_next(handler))
        if self._early is not None:
            os.kill(os.getpid(), self._early)

    def _first_or_next(
        self, first: Callable[[int, FrameType | None], object]
    ) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if self._stopping:
                self._soon(self._hurry)
            else:
                self._stopping = True
                first(number, frame)

        return handle

    def _soon(self, function: Callable[[], None]) -> None:
        """Call ``function`` in the reactor's thread: a signal may come in the middle of anything."""
        IReactorFromThreads(self._reactor).callFromThread(function)
