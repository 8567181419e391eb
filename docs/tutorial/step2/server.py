from time import ctime

from twisted.internet import reactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class Stamp(Protocol):
    def connectionMade(self):
        print("...connected from:", self.transport.getPeer().host)
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data):
        self.transport.write(b"[%s] %s" % (ctime().encode(), data))

    def readConnectionLost(self):
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


reactor.listenTCP(21567, Factory.forProtocol(Stamp), interface="127.0.0.1")
print("waiting for connection...")
reactor.run()
