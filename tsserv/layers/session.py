"""The server's side of a TLS session, in memory: bytes come in and go out, and no socket is touched."""

from __future__ import annotations

import ssl
from contextlib import suppress

from tsserv.layers.clienthello import ClientHello, RefusedHello

# How many bytes are encrypted at once, at most: the answer to a full record of 16 KiB (RFC 8446, section 5.1)
# is.  The memory BIO that takes what OpenSSL has encrypted grows to hold it, and never shrinks.
_PIECE = 20 * 1024

# What a client is told whose ClientHello is refused: handshake_failure, fatal (RFC 8446, section 6).
_HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"


class TLSError(Exception):
    """The session cannot go on; says why."""


class Session:
    """
    A TLS session, from before its ClientHello on.

    :param context: for the handshake.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._hello: ClientHello | None = ClientHello()
        # What is to be sent: whole pieces, and then what is in the second BIO.
        self._pieces: list[bytes] = []
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def shake_hands(self, data: bytes) -> bool:
        """
        Go on with the handshake, with ``data`` from the client; return whether it is complete.

        :raises TLSError: if it cannot be completed.
        """
        if self._hello is not None:
            try:
                if not self._hello.feed(data):
                    return False
            except RefusedHello as error:
                if self._hello.received.startswith(b"\x16"):  # it speaks TLS, and understands an alert
                    self._pieces.append(_HANDSHAKE_FAILURE)
                raise TLSError(str(error)) from None
            data, self._hello = bytes(self._hello.received), None
            # Not before: it is the largest part of what a connection holds.
            self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise TLSError(error.reason or str(error)) from error
        return True

    def receive(self, data: bytes) -> None:
        """Take ``data`` from the client, to be read."""
        self._incoming.write(data)

    def read(self, size: int) -> bytes | None:
        """
        Decrypt the next record, or ``size`` bytes of it if it is longer.

        :return: empty at the client's close_notify; ``None`` if more has to be received first.
        :raises TLSError: if it cannot be decrypted.
        """
        if not (self._incoming.pending or self._tls.pending()):
            return None  # OpenSSL would say so by an exception, which is slow
        try:
            return self._tls.read(size)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLError as error:
            raise TLSError(error.reason or str(error)) from error

    def write(self, data: bytes) -> bool:
        """Encrypt ``data``; return whether so much has been written that it should be sent now."""
        if self._outgoing.pending + len(data) <= _PIECE:
            self._tls.write(data)
            return False
        for place in range(0, len(data), _PIECE):
            if self._outgoing.pending:
                self._pieces.append(self._outgoing.read())
            self._tls.write(data[place : place + _PIECE])
        return True

    def close(self) -> None:
        """Add a close_notify, if the handshake is complete."""
        if self._hello is None:
            with suppress(ssl.SSLError):  # it would wait for the client's, which need not come
                self._tls.unwrap()

    def take(self) -> bytes:
        """Return what is to be sent, once."""
        if not self._pieces:
            return self._outgoing.read()
        pieces, self._pieces = self._pieces, []
        return b"".join([*pieces, self._outgoing.read()])
