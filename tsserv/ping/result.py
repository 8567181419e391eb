"""The result of one probe, and of a time in which there was no service."""

from __future__ import annotations

from typing import NamedTuple

from tsserv.ping.offset import Measurement


class Result(NamedTuple):
    """What became of one probe."""

    number: int
    #: ``answered``; ``altered``: answered with other bytes; ``lost``; or ``pending``: the run was ended
    #: before the timeout.
    outcome: str
    #: When it was sent, in nanoseconds since 1970 by this machine's clock.
    sent: int
    #: The round-trip time in nanoseconds; ``None`` if there was no answer.
    rtt: int | None = None
    #: Whether the answer came after the timeout.
    late: bool = False
    #: The size of the answer in bytes, its number of stamps, its last stamp, and what that says of the
    #: clocks and of each way; ``None`` if it cannot be read.
    size: int = 0
    stamps: int = 0
    stamp: bytes | None = None
    measurement: Measurement | None = None
    #: How many segments the kernel has retransmitted since the previous answer; 0 if that is unknown.
    retransmits: int = 0
    #: Why it was lost, if that is known.
    reason: str = ""


class Outage(NamedTuple):
    """The connection ended, and later a probe was answered on a new one."""

    #: From the end of the connection to the new one.
    seconds: float
    #: How many probes were lost.
    lost: int
    #: Why the connection ended.
    reason: str
