"""Two lines of log for however many events: one when they begin, one when they are over."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger("tsserv")

# Events are over when none has come for so long, in seconds: an attack that goes on is one spell,
# and costs the log two lines.
_QUIET = 10.0


class Tally:
    """
    Counts events that an attacker can cause at any rate, without a line of log for each.

    :param clock: tells when a spell of events is over.
    :param began: the line for the first event of a spell.
    :param ended: the line for its end; ``{count}`` in it is the number of events.
    """

    def __init__(self, clock: IReactorTime, began: str, ended: str) -> None:
        self._clock = clock
        self._began = began
        self._ended = ended
        self._count = 0
        self._count_before = 0
        self._check: IDelayedCall | None = None

    def add(self, **details: object) -> None:
        """Count one event; the first of a spell is logged, with ``details`` for the fields of its line."""
        self._count += 1
        if self._check is None:
            _log.warn(self._began, **details)
            self._check = self._clock.callLater(_QUIET, self._look)

    def close(self) -> None:
        """End a spell now."""
        if self._check is not None:
            if self._check.active():
                self._check.cancel()
            self._check = None
            _log.warn(self._ended, count=self._count)
            self._count = self._count_before = 0

    def _look(self) -> None:
        if self._count == self._count_before:
            self.close()
        else:
            self._count_before = self._count
            self._check = self._clock.callLater(_QUIET, self._look)
