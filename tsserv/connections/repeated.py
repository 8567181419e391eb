"""Log a burst of events as two lines: its beginning, and its end with the count."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger("tsserv")

# A burst is over when no event has come for so long, in seconds: a lasting attack is one burst, and costs
# two lines of log.
_PAUSE = 10.0


class RepeatedEvent:
    """
    An event that clients can cause at any rate, logged as two lines for each burst of it.

    :param clock: tells when a burst is over.
    :param began: the line for the first event of a burst.
    :param ended: the line for the end of a burst; ``{count}`` in it is the number of events.
    """

    def __init__(self, clock: IReactorTime, began: str, ended: str) -> None:
        self._clock = clock
        self._began = began
        self._ended = ended
        self._count = 0
        self._count_before = 0
        self._check: IDelayedCall | None = None

    def add(self, **details: object) -> None:
        """Count one event; ``details`` are for the fields of the line that the first of a burst gets."""
        self._count += 1
        if self._check is None:
            _log.warn(self._began, **details)
            self._check = self._clock.callLater(_PAUSE, self._end_or_wait)

    def close(self) -> None:
        """End the burst now, if there is one."""
        if self._check is not None:
            if self._check.active():
                self._check.cancel()
            self._check = None
            _log.warn(self._ended, count=self._count)
            self._count = self._count_before = 0

    def _end_or_wait(self) -> None:
        if self._count == self._count_before:
            self.close()
        else:
            self._count_before = self._count
            self._check = self._clock.callLater(_PAUSE, self._end_or_wait)
