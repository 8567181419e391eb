from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

from tsserv.net.reactor import eager


class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)


endpoint = serverFromString(eager(reactor), "tcp:21567:interface=127.0.0.1")
endpoint.listen(Factory.forProtocol(Echo))
print("waiting for connection...")
reactor.run()
