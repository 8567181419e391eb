"""A stamp for each line, with Twisted's LineReceiver."""

# mypy: ignore-errors

from time import ctime

from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver


class TimestampProtocol(LineReceiver):
    """Answers each line with the time and the line."""

    delimiter = b"\n"

    def connectionMade(self) -> None:
        """Have the transport pause this while too much is unsent."""
        self.transport.registerProducer(self, streaming=True)

    def lineReceived(self, line: bytes) -> None:
        """Answer."""
        self.sendLine(b"[%s] %s" % (ctime().encode(), line))


factory = Factory.forProtocol(TimestampProtocol)
port = reactor.listenTCP(0, factory, interface="127.0.0.1")
print(f"listening on 127.0.0.1:{port.getHost().port}", flush=True)
reactor.run()
