"""
TLS between a connection and its protocol.

Twisted's own layer drops what a client has not read yet when that client ends its side, and takes no
notice of backpressure within one read; this one hands both on.  It is a layer of Twisted above, below
and in between, and the ``ssl`` of the standard library inside.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from tsserv.connections.registry import Connections
from tsserv.connections.repeated import Tally
from tsserv.layers.credentials import Credentials
from tsserv.layers.preface import Preface
from tsserv.protocol import TimestampFactory, TimestampProtocol

# How long a handshake may take, in seconds.
_HANDSHAKE = 10.0

# How many bytes to read at once: the longest record (RFC 8446, section 5.2), which is decrypted as a whole.
_RECORD = 16 * 1024 + 256


@implementer(IHalfCloseableProtocol, IPushProducer)
class TLSLayer(Preface):
    """
    The protocol of an encrypted connection, and the transport of the protocol above it.

    :param inner: gets what has been decrypted, once the handshake is over.
    :param context: for the handshake.
    :param failed: counts what was no TLS.
    """

    def __init__(
        self,
        inner: TimestampProtocol,
        context: ssl.SSLContext,
        connections: Connections,
        *,
        clock: IReactorTime,
        late: Tally,
        failed: Tally,
    ) -> None:
        super().__init__(connections, inner.host, clock=clock, patience=_HANDSHAKE, late=late)
        self._inner = inner
        self._failed = failed
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._heard = self._served = self._paused = False
        #: How many bytes the protocol above gets at once.
        self.bufferSize = _RECORD

    # What the connection below calls

    def connectionMade(self) -> None:
        """Wait for the handshake."""
        super().connectionMade()
        self.transport.bufferSize = _RECORD

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, and let the protocol above answer."""
        self._heard = True
        self._incoming.write(data)
        self._advance()

    def readConnectionLost(self) -> None:
        """The client has shut its side below TLS, which many do without a word in TLS."""
        # Told of the end, OpenSSL would take it for an attack and refuse to send the rest.
        if self._served:
            self._inner.readConnectionLost()
        else:
            self._fail("the client has left")

    def writeConnectionLost(self) -> None:
        """Do nothing: the writing side is never closed alone."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Tell the protocol above, if it knows of the connection."""
        super().connectionLost(reason)
        if self._served:
            self._inner.connectionLost(reason)
        # The two know each other, and what is inside is large.
        del self._inner, self._tls, self._incoming, self._outgoing

    def _advance(self) -> None:
        """Do all that what has come allows."""
        try:
            if not self._served:
                self._tls.do_handshake()
                self._served = self.end_preface()
                self._inner.makeConnection(self)
            while not self._paused:
                data = self._tls.read(self.bufferSize)
                if not data:  # the client says in TLS that it sends no more
                    self._inner.readConnectionLost()
                    break
                self._inner.dataReceived(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(error.reason or str(error))
        self._flush()

    def _fail(self, reason: str) -> None:
        if self._heard:  # a health check says nothing
            self._failed.add(host=self.host, reason=reason)
        if self._served:
            self._inner.why = "TLS failed"
        self.finish("TLS failed")

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.transport.write(self._outgoing.read())

    # What the protocol above calls; what is not here is the connection's own

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        while data:
            data = data[self._tls.write(data) :]
        self._flush()

    def loseConnection(self) -> None:
        """Say in TLS that no more is sent, and close when all is."""
        with suppress(ssl.SSLError):  # the client has not said so too, and need not
            self._tls.unwrap()
        self._flush()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """Read no more, and decrypt no more of what has been read."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        self.transport.resumeProducing()
        self._advance()


class TLSFactory(Factory):
    """
    Puts a :class:`TLSLayer` below each protocol of another factory.

    :param wrapped: makes the protocols.
    :param credentials: for the handshake.
    :param connections: watches connections while they shake hands.
    :param clock: times that.
    """

    noisy = False

    def __init__(
        self,
        wrapped: TimestampFactory,
        credentials: Credentials,
        connections: Connections,
        clock: IReactorTime,
    ) -> None:
        self._wrapped = wrapped
        self._credentials = credentials
        self._connections = connections
        self._clock = clock
        self._late = connections.tally(
            f"closing connections that have not finished their TLS handshake in {_HANDSHAKE:g} s",
            "connections closed whose TLS handshake took too long: {count}",
        )
        self._failed = connections.tally(
            "closing a connection from {host} that does no TLS: {reason}",
            "connections closed that did no TLS: {count}",
        )

    def buildProtocol(self, addr: IAddress | None) -> TLSLayer | None:
        """Return the layer for a new connection from ``addr``, or ``None`` to close it at once."""
        inner = self._wrapped.buildProtocol(addr)
        if inner is None:
            return None
        return TLSLayer(
            inner,
            self._credentials.context,
            self._connections,
            clock=self._clock,
            late=self._late,
            failed=self._failed,
        )
