import sys

from twisted.application.service import Service
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()


def end(reason):
    """End the program with one line on standard error; sys.stderr may have become the log."""
    print(f"stampd: {reason}", file=sys.__stderr__)
    sys.exit(1)


class Listener(Service):
    """Listens on an endpoint that listens at once, such as tcp: or unix:."""

    def __init__(self, endpoint, factory, drain_timeout):
        self.endpoint = endpoint
        self.factory = factory
        self.drain_timeout = drain_timeout

    def privilegedStartService(self):
        results = []
        self.endpoint.listen(self.factory).addBoth(results.append)
        [self.port] = results
        if isinstance(self.port, Failure):
            end(self.port.getErrorMessage())

    def startService(self):
        super().startService()
        log.info("waiting for connection...")

    def stopService(self):
        super().stopService()
        closed = maybeDeferred(self.port.stopListening)
        return closed.addCallback(lambda _: self.factory.drain(self.drain_timeout))
