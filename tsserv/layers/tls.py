"""
TLS between a connection and its protocol, by the ``ssl`` of the standard library.

Twisted's own layer drops answers in flight when a client half-closes, and ignores backpressure within one
read.  This one hands both on.  A layer is in one of these states:

- *handshake*: it is registered as a connection and has a time limit; the protocol above is not connected;
- *served*: the protocol above has taken its place in the registry, and gets what is decrypted;
- *closed*: it refers to nothing any more.

A client that half-closes, in TLS or below it, still gets its answers: its end is handed on to the protocol
above, which closes.  An error of TLS closes the connection in any state.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from tsserv.connections.address import Client, ClientFactory
from tsserv.connections.registry import Connections
from tsserv.connections.repeated import RepeatedEvent
from tsserv.layers.credentials import Credentials
from tsserv.layers.preface import Preface
from tsserv.protocol import TimestampFactory, TimestampProtocol

# How long a handshake may take, in seconds.
_TIME_LIMIT = 10.0

# How many bytes to read at once: the longest record (RFC 8446, section 5.2), which is decrypted in one piece.
_RECORD = 16 * 1024 + 256


@implementer(IHalfCloseableProtocol, IPushProducer)
class TLSLayer(Preface):
    """
    The protocol of an encrypted connection, and the transport of the protocol above it.

    :param inner: gets what has been decrypted, from the end of the handshake on.
    :param context: for the handshake.
    :param failed: counts connections that do not speak TLS.

    The others are of :class:`Preface`.
    """

    def __init__(
        self,
        inner: TimestampProtocol,
        context: ssl.SSLContext,
        connections: Connections,
        client: Client,
        *,
        clock: IReactorTime,
        late: RepeatedEvent,
        failed: RepeatedEvent,
    ) -> None:
        super().__init__(connections, client, clock=clock, time_limit=_TIME_LIMIT, late=late)
        self._inner = inner
        self._failed = failed
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._served = self._paused = False
        #: How many bytes the protocol above gets at once, at most.
        self.bufferSize = _RECORD

    # Called by the connection below

    def connectionMade(self) -> None:
        """Wait for the handshake."""
        super().connectionMade()
        self.transport.bufferSize = _RECORD

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, and let the protocol above answer."""
        self.received += len(data)
        self._incoming.write(data)
        self._advance()

    def readConnectionLost(self) -> None:
        """The client closed its side in TCP without a TLS close_notify, as many do."""
        # OpenSSL does not hear of it: it would take it for an attack, and refuse to send the rest.
        if self._served:
            self._inner.readConnectionLost()
        else:
            self._fail("the client ended the connection")

    def writeConnectionLost(self) -> None:
        """Do nothing: the service never half-closes."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Tell the protocol above, if it is connected."""
        super().connectionLost(reason)
        if self._served:
            self._inner.connectionLost(reason)
        # They refer to each other, and are large.
        del self._inner, self._tls, self._incoming, self._outgoing

    def _advance(self) -> None:
        """Go as far as the received data allows: handshake, then decrypt."""
        try:
            if not self._served:
                self._tls.do_handshake()
                self._served = self.end_preface()
                self._inner.makeConnection(self)
            while not self._paused:
                data = self._tls.read(self.bufferSize)
                if not data:  # a close_notify
                    self._inner.readConnectionLost()
                    break
                self._inner.dataReceived(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(error.reason or str(error))
        self._flush()

    def _fail(self, reason: str) -> None:
        if self.received:  # a health check sends nothing
            self._failed.add(host=self.host, reason=reason)
        if self._served:
            self._inner.reason = "TLS failed"
        self.finish("TLS failed")

    def _flush(self) -> None:
        if self._outgoing.pending:
            data = self._outgoing.read()
            self.sent += len(data)
            self.transport.write(data)

    # Called by the protocol above; everything else that it calls is the connection's

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        while data:
            data = data[self._tls.write(data) :]
        self._flush()

    def loseConnection(self) -> None:
        """Send a close_notify after what is queued, and close."""
        with suppress(ssl.SSLError):  # it would wait for the client's close_notify, which need not come
            self._tls.unwrap()
        self._flush()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """Stop reading, and stop decrypting what has been read."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Decrypt and read again."""
        self._paused = False
        self.transport.resumeProducing()
        self._advance()


class TLSFactory(ClientFactory):
    """
    Puts a :class:`TLSLayer` below each protocol of another factory.

    :param wrapped: makes the protocols.
    :param credentials: for the handshake.
    :param connections: watches connections during the handshake.
    :param clock: times the handshake.
    """

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
        self._late = connections.repeated(
            f"closing connections that have not finished their TLS handshake in {_TIME_LIMIT:g} s",
            "connections closed whose TLS handshake took too long: {count}",
        )
        self._failed = connections.repeated(
            "closing a connection from {host} that does not speak TLS: {reason}",
            "connections closed that did not speak TLS: {count}",
        )

    def protocol_for(self, client: Client) -> TLSLayer | None:
        """Return the layer for a new connection from ``client``, or ``None`` to close it at once."""
        inner = self._wrapped.protocol_for(client)
        if inner is None:
            return None
        return TLSLayer(
            inner,
            self._credentials.context,
            self._connections,
            client,
            clock=self._clock,
            late=self._late,
            failed=self._failed,
        )
