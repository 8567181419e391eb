"""The signals that the service handles: SIGHUP, SIGTERM and SIGINT."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Signals(Service):
    """
    SIGHUP reloads; the first SIGTERM or SIGINT stops the reactor, each further one makes that faster.

    Without this service a SIGHUP would kill the process, and so would a SIGTERM before the reactor runs, when
    clients may be connected already; and Twisted would log a traceback for the second SIGTERM.

    :param reactor: its own handlers get the first SIGTERM or SIGINT.
    :param reload: called in the reactor's thread for each SIGHUP.
    :param hurry: called in the reactor's thread for each further SIGTERM or SIGINT.
    """

    def __init__(
        self, reactor: IReactorCore, *, reload: Callable[[], None], hurry: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._reload = reload
        self._hurry = hurry
        #: The signal that has stopped the reactor.
        self.stopped_by: int | None = None

    def privilegedStartService(self) -> None:
        """Install the handlers, before clients can connect."""
        signal.signal(signal.SIGHUP, lambda number, frame: self._soon(self._reload))
        # The reactor installs its handlers when it begins to run.  Until they are wrapped, signals wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        self._reactor.callWhenRunning(self._wrap_handlers)

    def _wrap_handlers(self) -> None:
        for number in _STOPPING:
            handler = signal.getsignal(number)
            if callable(handler):  # it is not where a shell has its background jobs ignore SIGINT
                signal.signal(number, self._first_or_next(handler))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def _first_or_next(
        self, first: Callable[[int, FrameType | None], object]
    ) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if self.stopped_by is not None:
                self._soon(self._hurry)
            else:
                self.stopped_by = number
                first(number, frame)

        return handle

    def _soon(self, function: Callable[[], None]) -> None:
        """Call ``function`` from the reactor, not in the middle of whatever the signal interrupts."""
        IReactorFromThreads(self._reactor).callFromThread(function)
