"""
Tell stalled clients from slow ones.

The kernel knows what the next system has acknowledged, not what the client has read.  That system, and each
proxy on the way, takes many bytes ahead of the client, and then none until the client has read a large part
of them: 128 KiB over loopback, 1.6 MiB behind HAProxy.  So a pause alone says nothing.

Imagine a second client that reads exactly :data:`PORTION` bytes in each timeout.  A faster client never has
more left to read than the second one.  When the second one has read all that was acknowledged, the faster one
has too, and nothing keeps its system from taking more.  If then nothing is acknowledged for a whole timeout,
the client does not read as fast.
"""

from __future__ import annotations

from math import ceil

from tsserv.connections.registry import TrackedProtocol
from tsserv.net.queues import largest_step, make_room, unsent

#: How many bytes a client must read in each timeout while answers wait for it.
PORTION = 16 * 1024

# How many bytes the client has not read the systems on the way may hold.  Without a limit a client that has
# read quickly for long and then stops would not be aborted for days.
_MOST_AHEAD = 2 * 1024 * 1024


class StallRule:
    """
    Says which connections are stalled.

    :param checks: how often each connection is checked in the timeout, at regular intervals.
    """

    def __init__(self, checks: int) -> None:
        self._checks = checks
        self._reads_for_at_most = self._reads_for(_MOST_AHEAD)

    def stalled(self, connection: TrackedProtocol) -> bool:
        """Check ``connection``; return whether its client does not read as fast as it must."""
        sent = connection.lowest.sent
        if sent == connection.acknowledged and not connection.reads_for:
            return False
        unacknowledged = unsent(connection.transport)
        acknowledged = sent - unacknowledged if unacknowledged else sent  # the same object takes no memory
        news = acknowledged - connection.acknowledged
        if unacknowledged and not news:
            make_room(connection.transport)
            connection.reads_for -= 1
            # One more than the timeout has: the first may have come just after the answer.
            most = self._checks + self._reads_for(min(unacknowledged, largest_step(connection.transport)))
            return connection.reads_for < -most
        connection.acknowledged = acknowledged
        reads_for = max(connection.reads_for - 1, 0) + self._reads_for(max(news, 0))
        connection.reads_for = min(reads_for, self._reads_for_at_most)
        return False

    def _reads_for(self, size: int) -> int:
        """Return for how many checks the slowest client that is not aborted reads ``size`` bytes."""
        return ceil(size * self._checks / PORTION)
