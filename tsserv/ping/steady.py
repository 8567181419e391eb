"""Probes at an interval, over one connection or each over a new one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count as count_from

from tsserv.ping.connection import ConnectionEnded
from tsserv.ping.conversation import Conversation
from tsserv.ping.dialer import CannotConnect
from tsserv.ping.result import Result
from tsserv.ping.run import Run

# How long the interval may become shorter and longer together, in nanoseconds.
_LONGEST_SHIFT = 10**9


class Steady:
    """
    Sends probes at an interval.

    :param run: where everything is counted.
    :param interval: between two probes, in nanoseconds.
    """

    def __init__(self, run: Run, interval: int) -> None:
        self._run = run
        self._interval = interval

    def run(self, count: int | None, *, reconnect: bool) -> None:
        """
        Send ``count`` probes, or with ``None`` until the user ends the run.

        :param reconnect: whether each probe has a new connection.
        :raises CannotConnect: if the first connection cannot be made; later the probe counts as lost.
        :raises ConnectionEnded: if the only connection ends.
        :raises NotTsserv: if the server is not tsserv.
        """
        begin = time.monotonic_ns()
        numbers = count_from(1) if count is None else iter(range(1, count + 1))
        try:
            if reconnect:
                self._reconnecting(numbers)
            else:
                self._exchange(numbers)
        finally:
            self._run.seconds = (time.monotonic_ns() - begin) / 1e9

    def _reconnecting(self, numbers: Iterator[int]) -> None:
        run = self._run
        due = time.monotonic_ns()
        for number in numbers:
            with run.interrupt:
                time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            due = self._next(due)
            try:
                self._exchange(iter([number]))
            except ConnectionEnded:
                pass  # the probe has been reported as lost
            except CannotConnect as error:
                if run.connection is None:
                    raise
                run.counts.sent += 1
                run.counts.lost += 1
                run.output.result(Result(number, "lost", time.time_ns(), reason=str(error)))

    def _exchange(self, numbers: Iterator[int]) -> None:
        """Send probes over one new connection."""
        conversation = self._run.connect()
        reason = ""
        with closing(conversation.connection):
            try:
                self._send_and_receive(conversation, numbers)
            except ConnectionEnded as error:
                reason = str(error)
                raise
            finally:
                for result in conversation.end(reason):
                    self._run.output.result(result)

    def _send_and_receive(self, conversation: Conversation, numbers: Iterator[int]) -> None:
        run, connection = self._run, conversation.connection
        due = time.monotonic_ns()
        number = next(numbers, None)
        while number is not None or conversation.deadline is not None:
            now = time.monotonic_ns()
            sending = None
            if connection.unsent:
                if conversation.deadline is None:
                    raise ConnectionEnded("the server has stopped reading")
            elif number is not None and self._aimed(due) <= now:
                sending, number = number, next(numbers, None)
                due = self._next(due)
            until = conversation.deadline or now + run.timeout
            if number is not None and not connection.unsent:
                until = min(until, self._aimed(due))
            pause = max(0, until - now) / 1e9
            # Whatever runs between sending and receiving is part of the measured time, so it is little.
            if sending is not None:
                conversation.send(sending)
            with run.interrupt:
                connection.wait(pause)
            for result in conversation.receive():
                run.output.result(result)
            connection.flush()
            for overdue in conversation.overdue():
                run.output.overdue(overdue)

    def _aimed(self, due: int) -> int:
        """Return when to send the probe that is due: if the stamps have whole seconds, when it tells most."""
        planned = time.time_ns() + due - time.monotonic_ns()
        return due + self._run.offset.aim(planned, min(self._interval, _LONGEST_SHIFT) // 2) - planned

    def _next(self, due: int) -> int:
        """Return when the probe after ``due`` is due; intervals missed during a pause are skipped."""
        return max(due + self._interval, time.monotonic_ns())
