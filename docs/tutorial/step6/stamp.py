from time import ctime

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from zope.interface import implementer

log = Logger()


@implementer(IHalfCloseableProtocol)
class Stamp(Protocol):
    def connectionMade(self):
        log.info("...connected from: {host}", host=self.transport.getPeer().host)
        self.transport.registerProducer(self.transport, True)
        self.factory.opened(self)

    def dataReceived(self, data):
        now = ctime(self.factory.clock.seconds())
        self.transport.write(b"[%s] %s" % (now.encode(), data))

    def readConnectionLost(self):
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass

    def connectionLost(self, reason):
        self.factory.closed(self)


class StampFactory(Factory):
    protocol = Stamp

    def __init__(self, clock):
        self.clock = clock
        self.connections = set()
        self.empty = None

    def opened(self, connection):
        self.connections.add(connection)

    def closed(self, connection):
        self.connections.remove(connection)
        if self.empty and not self.connections:
            self.empty.callback(None)

    def drain(self, timeout):
        """Return a Deferred that fires when all connections are closed; abort them after the timeout."""
        count = len(self.connections)
        if not count:
            return succeed(None)
        log.info("waiting up to {timeout:g} s for {count} connections", timeout=timeout, count=count)
        self.empty = Deferred()
        self.clock.callLater(timeout, self.abort)
        return self.empty

    def abort(self):
        for connection in list(self.connections):
            connection.transport.abortConnection()
