"""
TLS between a connection and its protocol, by the ``ssl`` of the standard library.

Twisted's own layer drops answers in flight when a client half-closes, and ignores backpressure within one
read.  This one hands both on.  A layer is in one of these states:

- *handshake*: it is registered as a connection and has a time limit; the protocol above is not connected;
- *served*: the protocol above has taken its place in the registry, and gets what is decrypted;
- *closing*: all answers and a close_notify have been written; what the client still sends is dropped;
- *closed*: it refers to nothing any more.

A client that half-closes, in TLS or below it, still gets its answers: its end is handed on to the protocol
above, which closes.  An error of TLS closes the connection in any state.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from tsserv.connections.address import Client
from tsserv.connections.registry import Connections
from tsserv.connections.repeated import RepeatedEvent
from tsserv.layers.lingering import LingeringClose
from tsserv.layers.preface import Preface
from tsserv.layers.session import Session, TLSError
from tsserv.protocol import TimestampProtocol

#: How long a handshake may take, in seconds.
TIME_LIMIT = 10.0

# How many bytes to read at once: the longest record (RFC 8446, section 5.2), which is decrypted in one piece.
_READ_SIZE = 16 * 1024 + 256

# How long a connection may take in one turn of the reactor, in seconds, before others have theirs.  One read
# may hold 720 records, each of which costs as much as a message.
_TURN = 0.0001


@implementer(IHalfCloseableProtocol, IPushProducer)
class TLSLayer(Preface):
    """
    The protocol of an encrypted connection, and the transport of the protocol above it.

    :param inner: gets what has been decrypted, from the end of the handshake on.
    :param failed: counts connections that do not speak TLS; the rest is for :class:`Preface`.
    """

    def __init__(
        self,
        inner: TimestampProtocol,
        session: Session,
        connections: Connections,
        client: Client,
        *,
        clock: IReactorTime,
        late: RepeatedEvent,
        failed: RepeatedEvent,
    ) -> None:
        super().__init__(connections, client, clock=clock, time_limit=TIME_LIMIT, late=late)
        self._inner = inner
        self._failed = failed
        self._session = session
        self._served = self._paused = self._ended = False
        self._next_turn: IDelayedCall | None = None
        self._closing: LingeringClose | None = None
        #: How many bytes the protocol above gets at once, at most.
        self.bufferSize = _READ_SIZE

    # Called by the connection below

    def connectionMade(self) -> None:
        """Wait for the handshake."""
        super().connectionMade()
        self.transport.bufferSize = _READ_SIZE

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, and let the protocol above answer."""
        if self._closing:
            return
        self.received += len(data)
        if self._served:
            self._session.receive(data)
            self._answer()
        else:
            self._shake_hands(data)

    def readConnectionLost(self) -> None:
        """The client closed its side in TCP, with or without a TLS close_notify before."""
        self._ended = True
        if self._closing:
            self.transport.loseConnection()
        elif self._served:
            # OpenSSL does not hear of it: it would take it for an attack, and refuse to send the rest.
            self._inner.readConnectionLost()
        else:
            self._fail("the client ended the connection")

    def writeConnectionLost(self) -> None:
        """Wait until the client has everything: all has been sent."""
        assert self._closing, "nothing else half-closes"
        self._closing.check()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Tell the protocol above, if it is connected."""
        super().connectionLost(reason)
        for timer in (self._next_turn, self._closing):
            if timer is not None:
                timer.cancel()
        if self._served:
            self._inner.connectionLost(reason)
        # They refer to each other, and are large.
        del self._inner, self._session

    def _shake_hands(self, data: bytes) -> None:
        try:
            if self._session.shake_hands(data):
                self._served = self.end_preface()
                self._inner.makeConnection(self)
                self._answer()
        except TLSError as error:
            self._fail(str(error))
        self._flush()

    def _answer(self) -> None:
        """Decrypt what has been received and have it answered, as much as there is time for in this turn."""
        end = self._clock.seconds() + _TURN
        try:
            while self._session.pending and not self._paused:
                if self._clock.seconds() >= end:
                    self._next_turn = self._clock.callLater(0, self._go_on)
                    self.transport.pauseProducing()
                    break
                data = self._session.read(self.bufferSize)
                if not data:
                    if data is not None:
                        self._inner.readConnectionLost()
                    break
                self._inner.dataReceived(data)
        except TLSError as error:
            self._fail(str(error))
        self._flush()

    def _go_on(self) -> None:
        """Answer what is left of what has been read, and read again."""
        self._next_turn = None
        self._answer()
        if not (self._paused or self._next_turn):
            self.transport.resumeProducing()

    def _fail(self, reason: str) -> None:
        if self.received:  # a health check sends nothing
            self._failed.add(host=self.host, reason=reason)
        if self._served:
            self._inner.reason = "TLS failed"
        self.transport.unregisterProducer()
        self.loseConnection()

    def _flush(self) -> None:
        data = self._session.take()
        if data:
            self.sent += len(data)
            self.transport.write(data)

    # Called by the protocol above; everything else that it calls is the connection's

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Encrypt, and send at the end of the turn, or now if it is much."""
        self._session.write(data)
        if self._session.full:
            self._flush()

    def loseConnection(self) -> None:
        """Send a close_notify after what is queued, and close when the client has everything."""
        if self._closing:
            return
        self._paused = True  # decrypt nothing more
        self._session.close()
        self._flush()
        if self._ended:
            self.transport.loseConnection()
        else:
            self._closing = LingeringClose(self.transport, self._clock)

    def pauseProducing(self) -> None:
        """Stop reading, and stop decrypting what has been read."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Decrypt and read again."""
        self._paused = False
        if self._next_turn is None:
            self._go_on()
