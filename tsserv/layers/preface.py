"""What a connection has to say before it is served, and in time."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from tsserv.connections.repeated import Tally
from tsserv.connections.tracked import Peer, Registry


class Preface(Peer):
    """
    A connection that has to say something before it is served, and in time.

    :param clock: tells the time.
    :param patience: how long it may take, in seconds.
    :param late: counts those that take longer, and are closed.
    """

    def __init__(
        self, registry: Registry, host: str | None, *, clock: IReactorTime, patience: float, late: Tally
    ) -> None:
        super().__init__(registry, host)
        self._clock = clock
        self._patience = patience
        self._late = late
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin to wait."""
        super().connectionMade()
        self._deadline = self._clock.callLater(self._patience, self._too_late)

    def _too_late(self) -> None:
        self._late.add()
        self.abort("too late")

    def end_preface(self) -> bool:
        """Wait no more, and watch this as a connection no more; return whether that is new."""
        if self._deadline is None:
            return False
        if self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        self._registry.closed(self)
        return True

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Stop waiting."""
        self.end_preface()
