"""A run: probes at an interval, over one connection or over a new one each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count as count_from

from tsserv.ping.answers import Probes
from tsserv.ping.connection import CannotConnect, Connection, ConnectionEnded, Dialer
from tsserv.ping.conversation import Conversation, Result
from tsserv.ping.figures import Tally
from tsserv.ping.interrupt import Interrupt
from tsserv.ping.offset import Offset
from tsserv.ping.outputs.base import Output


class Run:
    """
    What the probes of one run have in common, and what became of them.

    :param dialer: makes the connections.
    :param probes: the lines to send.
    :param timeout: how long an answer may take, in nanoseconds.
    :param output: is told what happens.
    :param interrupt: ends the run where it waits.
    """

    def __init__(
        self, dialer: Dialer, probes: Probes, *, timeout: int, output: Output, interrupt: Interrupt
    ) -> None:
        self._dialer = dialer
        self._probes = probes
        self._timeout = timeout
        self._output = output
        self.interrupt = interrupt
        self.tally = Tally()
        self.offset = Offset()
        #: The connection that was made first.
        self.connection: Connection | None = None
        #: How long it has been sending.
        self.seconds = 0.0

    def converse(self) -> Conversation:
        """
        Return what talks over a new connection.

        :raises CannotConnect: if there is none.
        """
        with self.interrupt:
            connection = self._dialer.dial()
        self.connection = self.connection or connection
        self._output.connected(connection)
        return Conversation(connection, self._probes, self._timeout, self.tally, self.offset)

    def run(self, count: int | None, interval: int, *, reconnect: bool) -> None:
        """
        Send ``count`` probes, or until the user ends it.

        :param interval: between two probes, in nanoseconds.
        :param reconnect: each over a connection of its own.
        :raises CannotConnect: if there is no connection; a later one is a lost probe.
        :raises ConnectionEnded: if the other side ends the only connection.
        :raises NotTsserv: if the other side is something else.
        """
        begin = time.monotonic_ns()
        numbers = count_from(1) if count is None else iter(range(1, count + 1))
        try:
            if reconnect:
                self._reconnecting(numbers, interval)
            else:
                self._exchange(numbers, interval)
        finally:
            self.seconds = (time.monotonic_ns() - begin) / 1e9

    def _reconnecting(self, numbers: Iterator[int], interval: int) -> None:
        due = time.monotonic_ns()
        for number in numbers:
            with self.interrupt:
                time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            due = _next(due, interval)
            try:
                self._exchange(iter([number]), interval)
            except ConnectionEnded:
                pass  # the loss has been told
            except CannotConnect as error:
                if self.connection is None:
                    raise
                self.tally.sent += 1
                self.tally.lost += 1
                self._output.result(Result(number, "lost", time.time_ns(), reason=str(error)))

    def _exchange(self, numbers: Iterator[int], interval: int) -> None:
        conversation = self.converse()
        reason = ""
        with closing(conversation.connection):
            try:
                self._send_and_receive(conversation, numbers, interval)
            except ConnectionEnded as error:
                reason = str(error)
                raise
            finally:
                for result in conversation.end(reason):
                    self._output.result(result)

    def _send_and_receive(self, conversation: Conversation, numbers: Iterator[int], interval: int) -> None:
        connection = conversation.connection
        due = time.monotonic_ns()
        number = next(numbers, None)
        while number is not None or conversation.deadline is not None:
            now = time.monotonic_ns()
            sending = None
            if connection.unsent:
                if conversation.deadline is None:
                    raise ConnectionEnded("the server takes nothing more")
            elif number is not None and due <= now:
                sending, number = number, next(numbers, None)
                due = _next(due, interval)
            until = conversation.deadline or now + self._timeout
            if number is not None and not connection.unsent:
                until = min(until, due)
            pause = max(0, until - now) / 1e9
            # What comes between sending and receiving is measured, so there is as little of it as can be.
            if sending is not None:
                conversation.send(sending)
            with self.interrupt:
                connection.wait(pause)
            for result in conversation.receive():
                self._output.result(result)
            connection.flush()
            for overdue in conversation.overdue():
                self._output.overdue(overdue)


def _next(due: int, interval: int) -> int:
    """Return when to send after ``due``; what was missed while the machine slept is not made up for."""
    return max(due + interval, time.monotonic_ns())
