"""The textbook's timestamp server, as it is written for Twisted; Python 3 asks for bytes."""

# mypy: ignore-errors

from time import ctime

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol


class TimestampProtocol(Protocol):
    """Answers each chunk with the time and the chunk."""

    def connectionMade(self) -> None:
        """Tell who has come."""
        self.client = self.transport.getPeer().host
        print("...connected from:", self.client)

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(b"[%s] %s" % (ctime().encode(), data))


factory = Factory()
factory.protocol = TimestampProtocol
print("waiting for connection...")
port = reactor.listenTCP(0, factory, interface="127.0.0.1")
print(f"listening on 127.0.0.1:{port.getHost().port}", flush=True)
reactor.run()
