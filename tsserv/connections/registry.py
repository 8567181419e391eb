"""The open connections: which have been idle or stalled for too long, and how the last ones end."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tsserv.connections.accesslog import AccessLog
from tsserv.connections.admission import Admission
from tsserv.connections.repeated import Tally
from tsserv.connections.tracked import NOTHING_WAITS, Peer
from tsserv.net.queues import unsent, waiting

_log = Logger("tsserv")

# A timeout is noticed late by a quarter of it at most: the last event by one look at the
# connections, the end by another.
_LOOKS_PER_TIMEOUT = 8

# How long a connection is quiet before it is closed when the service stops, and how often that is
# looked for, in seconds.
_QUIET = 1.0
_DRAIN_LOOKS = 0.25


class Connections(Service):
    """
    Every open connection; a service, so that it watches while the others run and drains when they stop.

    :param clock: times everything here, by one timer for all connections.
    :param admission: counts them.
    :param log: holds nothing back when the last one has ended.
    :param idle_timeout: a connection that has received nothing for so long is closed, in seconds; 0 is never.
    :param stall_timeout: one with answers waiting, of which the peer has taken none for so long, is
        aborted, in seconds; 0 is never.
    :param drain_timeout: how long open connections may go on when the service stops, in seconds.
    """

    def __init__(
        self,
        clock: IReactorTime,
        admission: Admission,
        log: AccessLog,
        *,
        idle_timeout: float = 0.0,
        stall_timeout: float = 0.0,
        drain_timeout: float = 0.0,
    ) -> None:
        self._clock = clock
        self._admission = admission
        self._log = log
        self._idle_timeout = idle_timeout
        self._stall_timeout = stall_timeout
        self._drain_timeout = drain_timeout
        self._open: set[Peer] = set()
        self._watch = LoopingCall(self._look)
        self._drain = LoopingCall(self._close_quiet)
        self._watch.clock = self._drain.clock = clock
        self._drained: Deferred[None] | None = None
        self._deadline: IDelayedCall | None = None
        self._tallies: list[Tally] = []
        self._idle = self.tally(
            f"closing connections that have sent nothing for {idle_timeout:g} s (--idle-timeout)",
            "idle connections closed: {count}",
        )
        self._stalled = self.tally(
            f"aborting connections that have taken no answer for {stall_timeout:g} s (--stall-timeout)",
            "stalled connections aborted: {count}",
        )

    def tally(self, began: str, ended: str) -> Tally:
        """Return a :class:`Tally` that is closed when the last connection is."""
        tally = Tally(self._clock, began, ended)
        self._tallies.append(tally)
        return tally

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def admits(self, host: str | None) -> bool:
        """Return whether a connection from ``host`` may come now."""
        return self._admission.admits(host)

    def opened(self, peer: Peer) -> None:
        """Watch ``peer`` from now on."""
        self._open.add(peer)
        self._admission.entered(peer.host)

    def closed(self, peer: Peer) -> None:
        """Forget ``peer``, whose connection is lost."""
        self._open.remove(peer)
        self._admission.left(peer.host)
        if not self._open and self._drained is not None:
            # In a turn of its own: it may only make way for the protocol that serves the connection.
            self._clock.callLater(0, self._end)

    def startService(self) -> None:
        """Begin to look for idle and stalled connections."""
        super().startService()
        timeouts = [timeout for timeout in (self._idle_timeout, self._stall_timeout) if timeout]
        if timeouts:
            self._watch.start(min(timeouts) / _LOOKS_PER_TIMEOUT, now=False)

    def stopService(self) -> Deferred[None]:
        """
        Let the open connections finish: each is served on until its client ends it, or it is quiet.

        :return: fires when none is left, after the drain timeout at the latest.
        """
        super().stopService()
        self._log.flush()
        drained: Deferred[None] = Deferred()
        self._drained = drained
        if self._open:
            _log.info(
                "connections that may finish within {timeout:g} s: {count}",
                count=len(self._open),
                timeout=self._drain_timeout,
            )
            self._deadline = self._clock.callLater(self._drain_timeout, self.abort)
            self._drain.start(_DRAIN_LOOKS)
        else:
            self._end()
        return drained

    def abort(self) -> None:
        """End every connection now, unsent answers and all."""
        if self._open:
            _log.warn("connections aborted before they had finished: {count}", count=len(self._open))
        for peer in list(self._open):
            peer.abort("service stopped")

    def _end(self) -> None:
        """Stop all timers and say that the last connection has ended, if it has."""
        if self._open or self._drained is None:
            return
        for loop in (self._watch, self._drain):
            if loop.running:
                loop.stop()
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        for tally in self._tallies:
            tally.close()
        self._admission.close()
        self._log.flush()
        drained, self._drained = self._drained, None
        drained.callback(None)

    def _look(self) -> None:
        """Look at every connection, to see which has been idle or stalled for too long."""
        now = self._clock.seconds()
        for peer in list(self._open):
            news = peer.sent != peer.seen
            if news:
                peer.seen = peer.sent
                peer.quiet_since = now
            elif (
                self._idle_timeout
                and now - peer.quiet_since >= self._idle_timeout
                # A slow reader, or what the reactor has yet to read, is not idle.
                and not waiting(peer.transport)
            ):
                self._idle.add()
                peer.finish("idle")
            # What nobody has written to since nothing waited need not be asked again.
            if self._stall_timeout and (news or peer.taken != NOTHING_WAITS):
                self._look_for_stall(peer, now)

    def _look_for_stall(self, peer: Peer, now: float) -> None:
        untaken = unsent(peer.transport)
        taken = peer.sent - untaken if untaken else NOTHING_WAITS
        if taken != peer.taken:
            peer.taken = taken
            peer.taken_since = now
        elif untaken and now - peer.taken_since >= self._stall_timeout:
            self._stalled.add()
            peer.abort("stalled")

    def _close_quiet(self) -> None:
        """Close every connection that has been quiet for a while, with nothing unread and nothing unsent."""
        now = self._clock.seconds()
        for peer in list(self._open):
            if peer.sent != peer.seen or waiting(peer.transport):
                peer.seen = peer.sent
                peer.quiet_since = now
            elif now - peer.quiet_since >= _QUIET:
                peer.finish("service stopped")
