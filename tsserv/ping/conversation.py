"""The probes on one connection, matched with their answers."""

from __future__ import annotations

import time
from itertools import takewhile

from tsserv.ping.answers import Answer, Answers, Probes, excerpt
from tsserv.ping.connection import Connection, NotTsserv
from tsserv.ping.counts import Counts
from tsserv.ping.offset import Offset
from tsserv.ping.result import Result

# How many overdue probes are remembered for late answers on one connection.
_MOST_OVERDUE = 10_000


class _Sent:
    """When a probe was sent."""

    __slots__ = ("at", "ticks")
    at: int  # nanoseconds since 1970: CLOCK_REALTIME
    ticks: int  # nanoseconds of CLOCK_MONOTONIC


class Conversation:
    """
    Sends probes over one connection and matches answers with them.

    Round-trip times are measured with the monotonic clock (``time.monotonic_ns``), from before the probe is
    given to the system to after the last byte of the answer has been read.  The time of day
    (``time.time_ns``) is only compared with stamps.

    :param connection: new.
    :param probes: the lines to send.
    :param timeout: how long to wait for an answer, in nanoseconds.
    :param counts: is updated.
    :param offset: is updated.
    :param details: whether to tell the ways there and back apart and ask the kernel, which takes long.
    """

    def __init__(
        self,
        connection: Connection,
        probes: Probes,
        timeout: int,
        counts: Counts,
        offset: Offset,
        *,
        details: bool = True,
    ) -> None:
        self.connection = connection
        self._probes = probes
        self._timeout = timeout
        self._counts = counts
        self._offset = offset
        self._details = details
        self._answers = Answers(probes)
        # Probes without an answer, before and after the timeout.
        self._waiting: dict[int, _Sent] = {}
        self._overdue: dict[int, _Sent] = {}
        self._recognised = False  # the server has proved to be tsserv

    def send(self, number: int) -> None:
        """
        Send a probe.

        :param number: greater than all before.
        :raises ConnectionEnded: if the connection has ended.
        """
        line = self._probes.line(number)
        self._counts.sent += 1
        sent = self._waiting[number] = _Sent()
        # In this order, a pause between the two clocks makes the round-trip time longer and the bounds of the
        # offset wider, but never wrong.
        sent.ticks = time.monotonic_ns()
        sent.at = time.time_ns()
        self.connection.send(line)

    @property
    def deadline(self) -> int | None:
        """When the oldest waiting probe becomes overdue, by the monotonic clock; ``None`` if none waits."""
        return next((sent.ticks + self._timeout for sent in self._waiting.values()), None)

    def overdue(self) -> list[int]:
        """
        Return the numbers of the probes that have become overdue since the last call.

        :raises NotTsserv: if what has arrived is not the beginning of an answer.
        """
        latest = time.monotonic_ns() - self._timeout
        numbers = [
            number for number, _ in takewhile(lambda item: item[1].ticks <= latest, self._waiting.items())
        ]
        for number in numbers:
            self._overdue[number] = self._waiting.pop(number)
        begun = self._answers.begun
        if numbers and begun and not self._recognised and not begun.startswith(b"["):
            raise NotTsserv(f"sends {excerpt(begun)}")
        return numbers

    def receive(self) -> list[Result]:
        """
        Read what has arrived.

        :return: the results of the probes that it answers, and of the oldest if too many are overdue.
        :raises ConnectionEnded: if the connection has ended.
        :raises NotTsserv: if the first line is not an answer.
        """
        data = self.connection.receive()
        now = time.monotonic_ns()
        results = []
        retransmits = 0
        if data and self._details:
            retransmits = self.connection.update_tcp_info()
            self._counts.retransmits += retransmits
            self._counts.kernel = self.connection.tcp_info
        for answer in self._answers.feed(data):
            self._recognise(answer)
            result = self._match(answer, now)
            if result is not None:
                results.append(result._replace(retransmits=retransmits) if retransmits else result)
                retransmits = 0
        while len(self._overdue) > _MOST_OVERDUE:
            sent = self._overdue.pop(number := next(iter(self._overdue)))
            self._counts.lost += 1
            results.append(Result(number, "lost", sent.at))
        return results

    def end(self, reason: str = "") -> list[Result]:
        """
        Stop waiting for answers.

        :param reason: why the connection ended; if it is empty, probes that are not overdue are pending.
        :return: the results of the probes without an answer.
        """
        lost = self._overdue | (self._waiting if reason else {})
        pending = {} if reason else self._waiting
        self._overdue, self._waiting = {}, {}
        self._counts.lost += len(lost)
        self._counts.pending += len(pending)
        results = [Result(number, "lost", sent.at, reason=reason) for number, sent in lost.items()]
        return results + [Result(number, "pending", sent.at) for number, sent in pending.items()]

    def _recognise(self, answer: Answer) -> None:
        """Check by the first line whether the server is tsserv."""
        if self._recognised:
            return
        if answer.stamp is None and answer.intact:
            raise NotTsserv("sends back what it gets, but without a stamp")
        if answer.stamp is None and answer.number is None:
            raise NotTsserv(f"sends {excerpt(answer.line)}")
        self._recognised = True

    def _match(self, answer: Answer, now: int) -> Result | None:
        """Return the result of the probe that this answers; ``None`` if it answers no waiting probe."""
        counts = self._counts
        number = answer.number
        if number is None:
            # TCP keeps the order, so this is most likely the answer to the oldest probe.
            number = next(iter(self._overdue or self._waiting), 0)
        sent = self._overdue.pop(number, None) or self._waiting.pop(number, None)
        if sent is None:
            if answer.intact:
                counts.doubled += 1
            else:
                counts.stray += 1
            return None
        rtt = now - sent.ticks
        late = rtt > self._timeout
        measurement = None
        if answer.intact:
            counts.answered += 1
            counts.late += late
            counts.merged += answer.stamps == 0
            counts.split += answer.stamps > 1
            counts.rtts.add(rtt)
            bounds = None if answer.stamp is None else self._offset.add(answer.stamp, sent.at, rtt)
            if bounds is not None and self._details:
                measurement = self._offset.measurement(bounds, rtt)
                counts.there.add(measurement.there)
                counts.back.add(measurement.back)
        else:
            counts.altered += 1
        return Result(
            number,
            "answered" if answer.intact else "altered",
            sent.at,
            rtt,
            late,
            len(answer.line),
            answer.stamps,
            answer.stamp,
            measurement,
        )
