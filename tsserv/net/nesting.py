"""
Which epoll set waits: the reactor's, or ours.

When ours is nested in the reactor's, a message that comes alone takes three waits: the reactor's for our set,
ours for the message, and ours in vain.  Twisted's ``EPollReactor`` lets us nest its set in ours, and it takes
one: 0.9 of the CPU time of a message.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure

from tsserv.net.turns import FairEpollSet

_log = Logger("tsserv")


class _ReactorsSet:
    """The epoll set of the reactor, as a descriptor that can be read when any in it is ready."""

    def __init__(self, reactor: Any) -> None:  # noqa: ANN401 (an EPollReactor)
        self.fileno = reactor._poller.fileno
        self._poll = reactor.doPoll

    def doRead(self) -> None:
        """Serve the reactor's descriptors that are ready."""
        self._poll(0)


class WaitingEpollSet(FairEpollSet):
    """Serves descriptors, and waits for them in place of the reactor if that is an ``EPollReactor``."""

    def __init__(self, reactor: Any) -> None:  # noqa: ANN401 (whatever else it provides)
        from twisted.internet.epollreactor import EPollReactor  # only Linux has it

        super().__init__(reactor)
        self._reactors: _ReactorsSet | None = None
        if not isinstance(reactor, EPollReactor):
            return
        if isinstance(getattr(reactor, "_poller", None), select.epoll):
            self._reactors = _ReactorsSet(reactor)
            # It does not do it by itself, since it does not know of this set.
            reactor.addSystemEventTrigger("during", "shutdown", self.connectionLost, Failure(CONNECTION_LOST))
        else:
            _log.info("a message takes more CPU time than it could: this Twisted has another EPollReactor")

    def _begin(self) -> None:
        if self._reactors is None or "doIteration" in vars(self._reactor):  # another set waits for it already
            super()._begin()
            return
        self._guest = self._reactors.fileno()
        self._add(self._reactors, self._readers, self._writers)
        self._reactor.doIteration = self._wait

    def _end(self) -> None:
        if self._guest != -1:
            del self._reactor.doIteration
            del self._readers[self._guest]
            self._guest = -1
        else:
            super()._end()

    def _wait(self, delay: float | None) -> None:
        """Wait and serve, as ``doIteration`` of the reactor does."""
        if self.serve_some(delay) > 1:
            self.doRead()  # more may be ready by now
