from time import ctime

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

    def dataReceived(self, data):
        now = ctime(self.factory.clock.seconds())
        self.transport.write(b"[%s] %s" % (now.encode(), data))

    def readConnectionLost(self):
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


class StampFactory(Factory):
    protocol = Stamp

    def __init__(self, clock):
        self.clock = clock
