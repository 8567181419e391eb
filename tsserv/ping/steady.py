"""Probes to one target at an interval, over one connection or each over a new one."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

from tsserv.ping.connection import ConnectionEnded, NotTsserv
from tsserv.ping.conversation import Conversation
from tsserv.ping.dialer import CannotConnect
from tsserv.ping.loop import Task, Wait
from tsserv.ping.pace import Pace
from tsserv.ping.result import Outage, Result
from tsserv.ping.run import Run

# How long after a failure the next connection is tried at the latest, in nanoseconds.
_LONGEST_PAUSE = 10**9


@dataclass
class _Away:
    """The service does not answer: there is no connection, or nothing has been answered on the new one."""

    since: int  # by the monotonic clock
    lost_before: int  # probes
    reason: str


class Steady:
    """
    Sends probes at an interval.

    :param run: where everything is counted.
    :param interval: between two probes, in nanoseconds.
    :param count: the number of probes; ``None`` to send until the user ends the run.
    :param delay: before the first probe, in nanoseconds.
    :param persistent: whether to go on when the server was never connected to, or is not tsserv.
    """

    def __init__(
        self, run: Run, interval: int, count: int | None, *, delay: int = 0, persistent: bool = False
    ) -> None:
        self._run = run
        self._counts = run.summary.counts
        self._pace = Pace(interval, count, delay)
        self._persistent = persistent
        self._away: _Away | None = None
        self._connected_at = 0

    def run(self, *, reconnect: bool, once: bool) -> Task[None]:
        """
        Send all probes.

        :param reconnect: whether each probe has a new connection.
        :param once: whether the end of the connection ends the run; otherwise a new connection is made.
        :raises CannotConnect: if the first connection cannot be made.
        :raises ConnectionEnded: if it ends before any answer, with ``once``, or if the service stays away.
        :raises NotTsserv: if the server is not tsserv.
        """
        yield Wait(self._pace.due)
        begin = time.monotonic_ns()
        try:
            if reconnect:
                yield from self._over_new_connections()
            else:
                yield from self._over_one_connection(once=once)
        finally:
            if self._away is not None:
                self._end_outage(time.monotonic_ns())
            self._run.summary.seconds = (time.monotonic_ns() - begin) / 1e9

    def _over_one_connection(self, *, once: bool) -> Task[None]:
        while True:
            was_away = self._away is not None
            next_try = time.monotonic_ns() + min(self._pace.interval, _LONGEST_PAUSE)
            try:
                yield from self._exchange()
                return
            except (CannotConnect, ConnectionEnded) as error:
                if once or not (self._away or self._persistent):
                    raise
                reason = str(error)
                self._away = self._away or _Away(time.monotonic_ns(), self._counts.lost, reason)
            if was_away:
                yield from self._wait(next_try, reason)
            if self._pace.number is None:
                raise ConnectionEnded(reason)

    def _over_new_connections(self) -> Task[None]:
        while self._pace.number is not None:
            yield Wait(self._pace.due)
            try:
                yield from self._exchange(only_one=True)
            except ConnectionEnded:
                pass  # the probe has been reported as lost
            except CannotConnect as error:
                if not (self._run.summary.connection or self._persistent):
                    raise
                self._lose(str(error))

    def _exchange(self, *, only_one: bool = False) -> Task[None]:
        """Send probes over one new connection."""
        run = self._run
        conversation = yield from run.connect()
        self._connected_at = time.monotonic_ns()
        reason = ""
        with closing(conversation.connection):
            try:
                yield from self._send_and_receive(conversation, only_one=only_one)
            except (ConnectionEnded, NotTsserv) as error:
                if isinstance(error, NotTsserv) and not self._persistent:
                    raise
                reason = str(error)
                if self._away is None and self._counts.answered and not only_one:
                    self._away = _Away(time.monotonic_ns(), self._counts.lost, reason)
                    run.output.ended(run.summary, reason)
                raise ConnectionEnded(reason) from error
            finally:
                for result in conversation.end(reason):
                    run.output.result(run.summary, result)

    def _send_and_receive(self, conversation: Conversation, *, only_one: bool) -> Task[None]:
        run, connection, offset = self._run, conversation.connection, self._run.summary.offset
        sent = False
        while True:
            number = None if only_one and sent else self._pace.number
            if number is None and conversation.deadline is None:
                return
            now = time.monotonic_ns()
            send_at = now if only_one else self._pace.aimed(offset)
            sending = None
            if connection.unsent:
                if conversation.deadline is None:
                    raise ConnectionEnded("the server has stopped reading")
                until = conversation.deadline
            else:
                until = conversation.deadline or now + run.timeout
                if number is not None and send_at <= now:
                    sending = number
                    sent = True
                    self._pace.advance()
                if not only_one and self._pace.number is not None:
                    until = min(until, self._pace.aimed(offset))
            wait = Wait(until, connection, connection.events)
            # Whatever runs between sending and receiving is part of the measured time, so it is little.
            if sending is not None:
                conversation.send(sending)
                if connection.unsent:
                    wait = Wait(until, connection, connection.events)
            yield wait
            for result in conversation.receive():
                self._answered(result)
            connection.flush()
            for overdue in conversation.overdue():
                run.output.overdue(run.summary, overdue)

    def _answered(self, result: Result) -> None:
        run = self._run
        if self._away is not None and result.outcome == "answered":
            run.output.restored(run.summary, self._end_outage(self._connected_at))
        run.output.result(run.summary, result)

    def _end_outage(self, now: int) -> Outage:
        assert self._away is not None
        counts = self._counts
        outage = Outage(
            (now - self._away.since) / 1e9, counts.lost - self._away.lost_before, self._away.reason
        )
        counts.outages += 1
        counts.away += outage.seconds
        self._away = None
        return outage

    def _lose(self, reason: str) -> None:
        """Count the next probe as lost, since it cannot be sent."""
        assert self._pace.number is not None
        self._counts.sent += 1
        self._counts.lost += 1
        result = Result(self._pace.number, "lost", time.time_ns(), reason=reason)
        self._run.output.result(self._run.summary, result)
        self._pace.advance()

    def _wait(self, until: int, reason: str) -> Task[None]:
        """Wait until the next connection is tried; probes that become due are lost."""
        while self._pace.number is not None and self._pace.due <= until:
            yield Wait(self._pace.due)
            self._lose(reason)
        if self._pace.number is not None:
            yield Wait(until)
