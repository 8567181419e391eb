"""How to close a connection whose client may still be sending."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from tsserv.net.queues import unsent

# How often to look whether the client has acknowledged everything, in seconds.
_CHECK_INTERVAL = 0.5

# What the end of the stream counts for among what is not acknowledged, in bytes (RFC 9293, section 3.4), and
# how many checks wait for it alone. The stall timeout does not see a client that acknowledges all but this.
_END, _CHECKS_FOR_END = 1, 20


class LingeringClose:
    """
    Closes a connection when its client has acknowledged all that it was sent.

    If the connection were closed before, whatever the client still sends would have the system reset it, and
    what is on its way to the client would be lost.  So first only the sending side is shut.  The protocol of
    the connection drops what it still receives, and closes it when the client ends its own side.

    :param transport: the connection; has no producer.
    :param clock: times the checks.
    """

    def __init__(self, transport: Any, clock: IReactorTime) -> None:  # noqa: ANN401
        self._transport = transport
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._checks_left = _CHECKS_FOR_END
        if unsent(transport):
            transport.loseWriteConnection()
            transport.resumeProducing()
        else:
            transport.loseConnection()

    def check(self) -> None:
        """Close if everything is acknowledged, and else check again later: everything has been sent."""
        left = unsent(self._transport)
        self._checks_left -= left == _END
        if left and self._checks_left:
            self._timer = self._clock.callLater(_CHECK_INTERVAL, self.check)
        else:
            self._transport.loseConnection()

    def cancel(self) -> None:
        """Do nothing any more: the connection is closed."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
