"""One run of the probe: what all of its connections to one target share."""

from __future__ import annotations

from dataclasses import dataclass

from tsserv.ping.answers import Probes
from tsserv.ping.conversation import Conversation
from tsserv.ping.dialer import Dialer
from tsserv.ping.interrupt import Interrupt
from tsserv.ping.loop import Task
from tsserv.ping.outputs.base import Output, Summary


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
    #: Is updated.
    summary: Summary

    def connect(self, *, details: bool = True) -> Task[Conversation]:
        """
        Return a conversation over a new connection.

        :param details: whether to tell the ways there and back apart, and ask the kernel.
        :raises CannotConnect: if no connection can be made.
        """
        connection = yield from self.dialer.dial()
        summary = self.summary
        summary.connection = summary.connection or connection
        summary.latest = connection
        self.output.connected(summary, connection)
        return Conversation(
            connection, self.probes, self.timeout, summary.counts, summary.offset, details=details
        )
