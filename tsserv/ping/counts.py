"""Counters of one run."""

from __future__ import annotations

from dataclasses import dataclass, field

from tsserv.ping.distribution import Distribution
from tsserv.ping.tcpinfo import TcpInfo
from tsserv.ping.way import Way


@dataclass
class Counts:
    """The number of probes with each outcome, the number of unexpected lines, and the round-trip times."""

    sent: int = 0
    #: Each probe that was sent ends as one of these.  ``altered``: the answer had other bytes.  ``pending``:
    #: the user ended the run before the timeout.
    answered: int = 0
    altered: int = 0
    lost: int = 0
    pending: int = 0
    #: Answered probes: after the timeout; in the same chunk as the previous answer; in several chunks.
    late: int = 0
    merged: int = 0
    split: int = 0
    #: Lines that are not the first answer to a probe: further answers, and lines that answer no probe.
    doubled: int = 0
    stray: int = 0
    #: Segments that the kernel sent again.
    retransmits: int = 0
    #: How often the connection ended and a new one was made, and for how many seconds the service was away.
    outages: int = 0
    away: float = 0.0
    #: What the kernel knew when the last answer arrived; ``None`` if it does not tell.
    kernel: TcpInfo | None = None
    rtts: Distribution = field(default_factory=Distribution)
    #: The way to the server and the way back, of answers whose stamp could be read.
    there: Way = field(default_factory=Way)
    back: Way = field(default_factory=Way)

    def as_dict(self) -> dict[str, int]:
        """Return all counters by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}

    @property
    def imperfect(self) -> bool:
        """Whether an answer was altered, late or doubled, or a connection ended; losses do not count."""
        return bool(self.altered or self.late or self.doubled or self.stray or self.outages)
