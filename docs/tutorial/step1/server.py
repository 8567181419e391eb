from time import ctime

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol


class Stamp(Protocol):
    def connectionMade(self):
        print("...connected from:", self.transport.getPeer().host)

    def dataReceived(self, data):
        self.transport.write(b"[%s] %s" % (ctime().encode(), data))


reactor.listenTCP(21567, Factory.forProtocol(Stamp), interface="127.0.0.1")
print("waiting for connection...")
reactor.run()
