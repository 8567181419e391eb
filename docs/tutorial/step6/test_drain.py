from stamp import StampFactory
from stampd import Options, makeService
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase


class TestDrain(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.factory = StampFactory(self.clock)
        self.protocol = self.factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def test_it_ends_with_the_last_connection(self):
        drained = self.factory.drain(30)
        self.assertNoResult(drained)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(drained)

    def test_connections_are_aborted_after_the_timeout(self):
        self.factory.drain(30)
        self.clock.advance(29)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)

    def test_the_service_drains_when_it_has_stopped_listening(self):
        config = Options()
        config.parseOptions([])
        service = makeService(config, MemoryReactorClock())
        service.privilegedStartService()
        service.startService()
        service.factory = self.factory
        self.assertNoResult(service.stopService())
