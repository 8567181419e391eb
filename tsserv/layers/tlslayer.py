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

from operator import attrgetter

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from tsserv.connections.address import Client
from tsserv.layers.lingering import LingeringClose
from tsserv.layers.preface import Preface, PrefaceFactory
from tsserv.layers.session import Session, TLSError
from tsserv.net.queues import unsent
from tsserv.net.server import end_reading
from tsserv.net.turns import bring_back, set_aside
from tsserv.protocol import TimestampProtocol

# How many bytes to read at once, at first and at most: the longest record (RFC 8446, section 5.2), which is
# decrypted in one piece.
_FIRST_READ = 4096
_READ_SIZE = 16 * 1024 + 256

# About how many records to read at once: each costs as much as a message, and 16 KiB may hold 720 of them.
_RECORDS = 128


@implementer(IHalfCloseableProtocol, IPushProducer)
class TLSLayer(Preface):
    """
    The protocol of an encrypted connection, and the transport of the protocol above it.

    :param factory: made this, and knows what its connections share.
    :param inner: gets what has been decrypted, from the end of the handshake on.
    """

    def __init__(
        self, factory: PrefaceFactory, inner: TimestampProtocol, session: Session, client: Client
    ) -> None:
        super().__init__(factory, client)
        self._inner = inner
        self._session = session
        self._served = self._paused = self._ended = False
        self._closing: LingeringClose | None = None
        #: How many bytes the protocol above gets at once, at most.
        self.bufferSize = _READ_SIZE

    # Called by the connection below

    def connectionMade(self) -> None:
        """Wait for the handshake."""
        super().connectionMade()
        self.transport.bufferSize = _FIRST_READ
        set_aside(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, and let the protocol above answer."""
        if self._closing:
            return
        self.received += len(data)
        if self._served:
            self._session.receive(data)
            records = self._answer() or 1
            self.transport.bufferSize = min(_RECORDS * len(data) // records, _READ_SIZE)
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
        if self._closing:
            self._closing.cancel()
        if self._served:
            self._inner.connectionLost(reason)
        # They refer to each other, and are large.
        del self._inner, self._session

    def _shake_hands(self, data: bytes) -> None:
        try:
            complete = self._session.shake_hands(data)
        except TLSError as error:
            self._fail(str(error))
            return
        if complete:
            bring_back(self.transport)
            self._served = self.end_preface()
            self._inner.makeConnection(self)
            self._answer()
        else:
            self._flush()

    def _answer(self) -> int:
        """Decrypt what has been received and have it answered; return how many records that were."""
        records = 0
        data: bytes | None = None
        try:
            while not self._paused and (data := self._session.read(self.bufferSize)):
                records += 1
                self._inner.dataReceived(data)
        except TLSError as error:
            self._fail(str(error))
            return records
        self._flush()
        if data == b"":
            self._end()
        return records

    def _end(self) -> None:
        """The client closed its side in TLS."""
        if unsent(self.transport):
            self._inner.readConnectionLost()
        else:  # close now: what the client still sends can destroy no answers
            end_reading(self.transport)

    def _fail(self, reason: str) -> None:
        if self.received:  # a health check sends nothing
            self._factory.invalid.add(host=self.host, reason=reason)
        if self._served:
            self._inner.reason = "TLS failed"
        self.transport.unregisterProducer()
        self.loseConnection()

    def _flush(self) -> None:
        data = self._session.take()
        if data:
            self.sent += len(data)
            self.transport.write(data)

    # Called by the protocol above

    def write(self, data: bytes) -> None:
        """Encrypt, and send at the end of the turn, or now if it is much."""
        if self._session.write(data):
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
            self._closing = LingeringClose(self.transport, self._factory.clock)

    def stopProducing(self) -> None:
        """Close: the connection has ended."""
        self.transport.stopProducing()

    def pauseProducing(self) -> None:
        """Stop reading, and stop decrypting what has been read."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Decrypt and read again."""
        self._paused = False
        self._answer()
        if not self._paused:
            self.transport.resumeProducing()


# All else that the protocol above asks for is the connection's.  A __getattr__ would slow down every use.
for _name in (
    *("abortConnection", "dataBuffer", "getHandle", "offset", "protocol", "registerProducer"),
    *("unregisterProducer", "_tempDataLen"),
):
    setattr(TLSLayer, _name, property(attrgetter(f"transport.{_name}")))
