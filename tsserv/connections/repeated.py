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
    :param reason: why a connection was refused, for metrics; empty if the connection has a reason of its own.
    """

    def __init__(self, clock: IReactorTime, began: str, ended: str, reason: str = "") -> None:
        self._clock = clock
        self._began = began
        self._ended = ended
        self.reason = reason
        #: How many events there have been.
        self.count = 0
        #: The host that the latest one came from; empty if that is not known.
        self.latest_host = ""
        self._count_before = 0  # at the last check
        self._count_logged = 0  # at the end of the last burst
        self._check: IDelayedCall | None = None

    def add(self, **details: object) -> None:
        """Count one event; ``details`` are for the fields of the line that the first of a burst gets."""
        self.count += 1
        self.latest_host = str(details.get("host", ""))
        if self._check is None:
            _log.warn(self._began, **details)
            self._check = self._clock.callLater(_PAUSE, self._end_or_wait)

    def close(self) -> None:
        """End the burst now, if there is one."""
        if self._check is not None:
            if self._check.active():
                self._check.cancel()
            self._check = None
            _log.warn(self._ended, count=self.count - self._count_logged)
            self._count_logged = self.count

    def _end_or_wait(self) -> None:
        if self.count == self._count_before:
            self.close()
        else:
            self._count_before = self.count
            self._check = self._clock.callLater(_PAUSE, self._end_or_wait)
