"""Probes on one connection, and which of them has been answered."""

from __future__ import annotations

import time
from itertools import takewhile
from typing import NamedTuple

from tsserv.ping.answers import Answer, Answers, Probes
from tsserv.ping.connection import Connection
from tsserv.ping.figures import Tally
from tsserv.ping.offset import Bounds, Offset


def excerpt(data: bytes) -> str:
    """Return the beginning of what somebody else sent, fit for a line on a terminal."""
    text = data[:60].decode(errors="backslashreplace")
    return repr(text.rstrip()) + ("..." if len(data) > 60 else "")


class NotTsserv(Exception):
    """Something else than the service is at the other end; the text says what it does."""


class Result(NamedTuple):
    """What became of one probe."""

    number: int
    #: ``answered``; ``altered``: answered with other bytes; ``lost``; or ``pending``: the run was ended
    #: before its time was over.
    outcome: str
    #: When it was sent, in nanoseconds since 1970 by this machine's clock.
    sent: int
    #: How long the answer took, in nanoseconds; ``None`` if there was none.
    rtt: int | None = None
    #: Whether it took longer than the timeout.
    late: bool = False
    #: The answer: how many bytes, how many stamps, the last stamp, and what that says of the server's clock.
    size: int = 0
    stamps: int = 0
    stamp: bytes | None = None
    offset: Bounds | None = None
    #: Why it was lost, if that is known.
    reason: str = ""


class _Sent:
    """When a probe was sent."""

    __slots__ = ("at", "ticks")
    at: int  # nanoseconds since 1970: CLOCK_REALTIME
    ticks: int  # nanoseconds since whenever: CLOCK_MONOTONIC


class Conversation:
    """
    Sends probes over one connection and tells which answer belongs to which.

    Round-trip times are those of a clock that nobody sets (``time.monotonic_ns``), from before the
    probe is given to the system to after the last byte of the answer has been taken from it.  The
    time of day (``time.time_ns``) is only compared with stamps.

    :param connection: new.
    :param probes: the lines to send.
    :param timeout: how long an answer may take, in nanoseconds.
    :param tally: where everything is counted.
    :param offset: learns from stamps.
    """

    def __init__(
        self, connection: Connection, probes: Probes, timeout: int, tally: Tally, offset: Offset
    ) -> None:
        self.connection = connection
        self._probes = probes
        self._timeout = timeout
        self._tally = tally
        self._offset = offset
        self._answers = Answers(probes)
        self._waiting: dict[int, _Sent] = {}
        self._overdue: dict[int, _Sent] = {}
        self._known = False  # whether a tsserv is at the other end

    def send(self, number: int) -> None:
        """
        Send a probe.

        :param number: greater than all before.
        :raises ConnectionEnded: if there is nobody any more to send to.
        """
        line = self._probes.line(number)
        self._tally.sent += 1
        sent = self._waiting[number] = _Sent()
        # In this order: if the system runs somebody else in between, the answer seems to take longer, and
        # what follows for the offset is vague and not wrong.
        sent.ticks = time.monotonic_ns()
        sent.at = time.time_ns()
        self.connection.send(line)

    @property
    def deadline(self) -> int | None:
        """When the time of a probe is over, by the monotonic clock; ``None`` if none is waited for."""
        return next((sent.ticks + self._timeout for sent in self._waiting.values()), None)

    def overdue(self) -> list[int]:
        """
        Return the numbers of the probes whose time is over by now, each once.  An answer is late then.

        :raises NotTsserv: if something has come meanwhile, but no answer of the service.
        """
        latest = time.monotonic_ns() - self._timeout
        numbers = [
            number for number, _ in takewhile(lambda item: item[1].ticks <= latest, self._waiting.items())
        ]
        for number in numbers:
            self._overdue[number] = self._waiting.pop(number)
        begun = self._answers.begun
        if numbers and begun and not self._known and not begun.startswith(b"["):
            raise NotTsserv(f"sends {excerpt(begun)}")
        return numbers

    def receive(self) -> list[Result]:
        """
        Take what has come.

        :return: the probes that it answers.
        :raises ConnectionEnded: if nothing will come any more.
        :raises NotTsserv: if what came first is no answer of the service.
        """
        data = self.connection.receive()
        now = time.monotonic_ns()
        results = []
        for answer in self._answers.feed(data):
            self._check(answer)
            result = self._settle(answer, now)
            if result is not None:
                results.append(result)
        return results

    def end(self, reason: str = "") -> list[Result]:
        """
        Give up what has not been answered.

        :param reason: why nothing will be answered any more; without one, what is not overdue is pending.
        :return: the probes without an answer.
        """
        lost = self._overdue | (self._waiting if reason else {})
        pending = {} if reason else self._waiting
        self._overdue, self._waiting = {}, {}
        self._tally.lost += len(lost)
        self._tally.pending += len(pending)
        results = [Result(number, "lost", sent.at, reason=reason) for number, sent in lost.items()]
        return results + [Result(number, "pending", sent.at) for number, sent in pending.items()]

    def _check(self, answer: Answer) -> None:
        """Find out from the first line whether the other end is a tsserv."""
        if self._known:
            return
        if answer.stamp is None and answer.intact:
            raise NotTsserv("sends back what it gets, but without a stamp")
        if answer.stamp is None and answer.number is None:
            raise NotTsserv(f"sends {excerpt(answer.line)}")
        self._known = True

    def _settle(self, answer: Answer, now: int) -> Result | None:
        """Find the probe that an answer is for, and count it."""
        tally = self._tally
        number = answer.number
        if number is None:
            # TCP keeps the order, so it stands most likely where the answer to the oldest should be.
            number = next(iter(self._overdue or self._waiting), 0)
        sent = self._overdue.pop(number, None) or self._waiting.pop(number, None)
        if sent is None:
            if answer.intact:
                tally.doubled += 1
            else:
                tally.stray += 1
            return None
        rtt = now - sent.ticks
        late = rtt > self._timeout
        offset = None
        if answer.intact:
            tally.answered += 1
            tally.late += late
            tally.merged += answer.stamps == 0
            tally.split += answer.stamps > 1
            tally.rtts.add(rtt)
            if answer.stamp is not None:
                offset = self._offset.add(answer.stamp, sent.at, rtt)
        else:
            tally.altered += 1
        return Result(
            number,
            "answered" if answer.intact else "altered",
            sent.at,
            rtt,
            late,
            len(answer.line),
            answer.stamps,
            answer.stamp,
            offset,
        )
