"""Probes at an interval, over one connection or each over a new one."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

from tsserv.ping.connection import ConnectionEnded
from tsserv.ping.conversation import Conversation
from tsserv.ping.dialer import CannotConnect
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
    """

    def __init__(self, run: Run, interval: int, count: int | None) -> None:
        self._run = run
        self._pace = Pace(interval, count)
        self._away: _Away | None = None
        self._connected_at = 0

    def run(self, *, reconnect: bool, once: bool) -> None:
        """
        Send all probes.

        :param reconnect: whether each probe has a new connection.
        :param once: whether the end of the connection ends the run; otherwise a new connection is made.
        :raises CannotConnect: if the first connection cannot be made.
        :raises ConnectionEnded: if it ends before any answer, with ``once``, or if the service stays away.
        :raises NotTsserv: if the server is not tsserv.
        """
        begin = time.monotonic_ns()
        try:
            if reconnect:
                self._over_new_connections()
            else:
                self._over_one_connection(once=once)
        finally:
            if self._away is not None:
                self._end_outage(time.monotonic_ns())
            self._run.seconds = (time.monotonic_ns() - begin) / 1e9

    def _over_one_connection(self, *, once: bool) -> None:
        while True:
            was_away = self._away is not None
            next_try = time.monotonic_ns() + min(self._pace.interval, _LONGEST_PAUSE)
            try:
                self._exchange()
                return
            except ConnectionEnded as error:
                if once or self._away is None:
                    raise
                reason = str(error)
            except CannotConnect as error:
                if self._away is None:
                    raise
                reason = str(error)
            if was_away:
                self._wait(next_try, reason)
            if self._pace.number is None:
                raise ConnectionEnded(reason)

    def _over_new_connections(self) -> None:
        while self._pace.number is not None:
            self._sleep(self._pace.due)
            try:
                self._exchange(only_one=True)
            except ConnectionEnded:
                pass  # the probe has been reported as lost
            except CannotConnect as error:
                if self._run.connection is None:
                    raise
                self._lose(str(error))

    def _exchange(self, *, only_one: bool = False) -> None:
        """Send probes over one new connection."""
        run = self._run
        conversation = run.connect()
        self._connected_at = time.monotonic_ns()
        reason = ""
        with closing(conversation.connection):
            try:
                self._send_and_receive(conversation, only_one=only_one)
            except ConnectionEnded as error:
                reason = str(error)
                if self._away is None and run.counts.answered and not only_one:
                    self._away = _Away(time.monotonic_ns(), run.counts.lost, reason)
                    run.output.ended(reason)
                raise
            finally:
                for result in conversation.end(reason):
                    run.output.result(result)

    def _send_and_receive(self, conversation: Conversation, *, only_one: bool) -> None:
        run, connection = self._run, conversation.connection
        sent = False
        while True:
            number = None if only_one and sent else self._pace.number
            if number is None and conversation.deadline is None:
                return
            now = time.monotonic_ns()
            send_at = now if only_one else self._pace.aimed(run.offset)
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
                    until = min(until, self._pace.aimed(run.offset))
            pause = max(0, until - now) / 1e9
            # Whatever runs between sending and receiving is part of the measured time, so it is little.
            if sending is not None:
                conversation.send(sending)
            with run.interrupt:
                connection.wait(pause)
            for result in conversation.receive():
                self._answered(result)
            connection.flush()
            for overdue in conversation.overdue():
                run.output.overdue(overdue)

    def _answered(self, result: Result) -> None:
        if self._away is not None and result.outcome == "answered":
            self._run.output.restored(self._end_outage(self._connected_at))
        self._run.output.result(result)

    def _end_outage(self, now: int) -> Outage:
        assert self._away is not None
        counts = self._run.counts
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
        self._run.counts.sent += 1
        self._run.counts.lost += 1
        self._run.output.result(Result(self._pace.number, "lost", time.time_ns(), reason=reason))
        self._pace.advance()

    def _wait(self, until: int, reason: str) -> None:
        """Wait until the next connection is tried; probes that become due are lost."""
        while self._pace.number is not None and self._pace.due <= until:
            self._sleep(self._pace.due)
            self._lose(reason)
        if self._pace.number is not None:
            self._sleep(until)

    def _sleep(self, until: int) -> None:
        with self._run.interrupt:
            time.sleep(max(0, until - time.monotonic_ns()) / 1e9)
