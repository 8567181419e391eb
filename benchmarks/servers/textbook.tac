"""The timestamp server of the textbook, as an application for twistd, which logs the port."""

from time import ctime

from twisted.application.internet import TCPServer
from twisted.application.service import Application
from twisted.internet.protocol import Factory, Protocol


class TimestampProtocol(Protocol):
    """Answers each chunk with the time and the chunk."""

    def connectionMade(self):
        """Print the client's address."""
        self.client = self.transport.getPeer().host
        print("...connected from:", self.client)

    def dataReceived(self, data):
        """Answer."""
        self.transport.write(b"[%s] %s" % (ctime().encode(), data))


application = Application("textbook")
TCPServer(0, Factory.forProtocol(TimestampProtocol), interface="127.0.0.1").setServiceParent(application)
