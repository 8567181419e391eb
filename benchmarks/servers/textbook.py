"""
The timestamp server of the textbook, on Twisted.

Usage: textbook.py [uvloop | tls PEM], for Twisted's asyncio reactor on uvloop, or the endpoint ``ssl:``.
"""

# mypy: ignore-errors

import sys
from time import ctime

if sys.argv[1:] == ["uvloop"]:
    import uvloop
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol


class TimestampProtocol(Protocol):
    """Answers each chunk with the time and the chunk."""

    def connectionMade(self) -> None:
        """Print the client's address."""
        self.client = self.transport.getPeer().host
        print("...connected from:", self.client)

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(b"[%s] %s" % (ctime().encode(), data))


def listening(port: object) -> None:
    """Print the address."""
    print(f"listening on 127.0.0.1:{port.getHost().port}", flush=True)


factory = Factory()
factory.protocol = TimestampProtocol
print("waiting for connection...")
if sys.argv[1:2] == ["tls"]:
    pem = sys.argv[2]
    endpoint = serverFromString(reactor, f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
    endpoint.listen(factory).addCallback(listening)
else:
    listening(reactor.listenTCP(0, factory, interface="127.0.0.1"))
reactor.run()
