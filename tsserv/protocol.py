"""The service as a Twisted protocol and its factory."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

_log = Logger()


def host_of(address: IPv4Address | IPv6Address) -> str:
    """Return the host of ``address``, an IPv4 client of an IPv6 listener (``::ffff:192.0.2.1``) as IPv4."""
    host: str = address.host
    # Only IPv4-mapped addresses are written with dots (RFC 5952, section 5).
    return host.removeprefix("::ffff:") if "." in host else host


class TimestampProtocol(Protocol):
    """
    Answers each chunk with the time and the chunk; any bytes are welcome.

    :param stamp: returns what stands before an answer, as :class:`tsserv.stamp.Stamp` does.
    """

    transport: ITCPTransport

    def __init__(self, stamp: Callable[[], bytes]) -> None:
        self._stamp = stamp

    def connectionMade(self) -> None:
        """Have small answers sent at once and dead peers noticed, and log who has come."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        _log.info("...connected from: {host}", host=host_of(self.transport.getPeer()))

    def dataReceived(self, data: bytes) -> None:
        """Answer one chunk, in one write: the stamp of now and the chunk."""
        self.transport.write(self._stamp() + data)


class TimestampFactory(Factory):
    """
    Makes a :class:`TimestampProtocol` for each connection.

    :param stamp: as the protocol's.
    """

    noisy = False  # the service itself says where it listens

    def __init__(self, stamp: Callable[[], bytes]) -> None:
        self._stamp = stamp

    def buildProtocol(self, addr: object) -> TimestampProtocol:
        """Return the protocol of a new connection from ``addr``."""
        return TimestampProtocol(self._stamp)
