"""One run of the probe: what all of its connections share."""

from __future__ import annotations

from dataclasses import dataclass, field

from tsserv.ping.answers import Probes
from tsserv.ping.connection import Connection
from tsserv.ping.conversation import Conversation
from tsserv.ping.counts import Counts
from tsserv.ping.dialer import Dialer
from tsserv.ping.interrupt import Interrupt
from tsserv.ping.offset import Offset
from tsserv.ping.outputs.base import Output


@dataclass
class Run:
    """What goes into a run, and what comes out; :mod:`steady` and :mod:`flood` decide when to send."""

    dialer: Dialer
    probes: Probes
    #: How long to wait for an answer, in nanoseconds.
    timeout: int
    output: Output
    #: Ends the run wherever it waits.
    interrupt: Interrupt
    counts: Counts = field(default_factory=Counts)
    offset: Offset = field(default_factory=Offset)
    #: The first connection.
    connection: Connection | None = None
    #: How long probes were sent.
    seconds: float = 0.0

    def connect(self, *, details: bool = True) -> Conversation:
        """
        Return a conversation over a new connection.

        :param details: whether to tell the ways there and back apart, and ask the kernel.
        :raises CannotConnect: if no connection can be made.
        """
        with self.interrupt:
            connection = self.dialer.dial()
        self.connection = self.connection or connection
        self.output.connected(connection)
        return Conversation(connection, self.probes, self.timeout, self.counts, self.offset, details=details)
