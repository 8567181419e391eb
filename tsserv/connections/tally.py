"""
What has come of all connections.

A connection counts its own chunks and bytes.  They are added up when it ends, and when somebody asks for the
open ones: nothing here is on the way of a message.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from tsserv.connections.accesslog import Record
from tsserv.connections.repeated import RepeatedEvent
from tsserv.net.queues import buffered

# Why connections end: counted from 0, so that the first of a kind shows as an increase.
_REASONS = ("connection lost", "ended by the client", "idle", "service stopped", "stalled", "TLS failed")


class Counted(Record, Protocol):
    """What is counted of one connection."""

    transport: Any
    #: Whether chunks are answered: the PROXY header and the TLS handshake, if any, are complete.
    served: bool


class Sums:
    """Sums over connections that are served: their number, chunks, and bytes received, sent and unsent."""

    def __init__(self) -> None:
        self.connections = self.chunks = self.received = self.sent = self.unsent = 0

    def add(self, connection: Counted) -> None:
        """Add what ``connection`` has counted by now."""
        self.connections += connection.served
        if connection.chunks:
            unsent = buffered(connection.transport)
            self.chunks += connection.chunks
            self.received += connection.received
            self.sent += connection.sent - unsent
            self.unsent += unsent


class Tally:
    """Counts connections that have ended, and events that end or refuse them."""

    def __init__(self) -> None:
        #: Over the connections that have ended.
        self.ended = Sums()
        #: How many of them have ended, by reason.
        self.closed = Counter(dict.fromkeys(_REASONS, 0))
        self.events: list[RepeatedEvent] = []

    def add(self, connection: Counted) -> None:
        """Count a connection that has ended."""
        self.ended.add(connection)
        self.ended.unsent = 0  # and never will be
        if connection.served:
            self.closed[connection.reason] += 1

    def refused(self) -> Counter[str]:
        """Return how many connections were refused, or ended before they were served, by reason."""
        counts: Counter[str] = Counter()
        for event in self.events:
            if event.reason:
                counts[event.reason] += event.count
        return counts

    def close(self) -> None:
        """End all bursts of events."""
        for event in self.events:
            event.close()
