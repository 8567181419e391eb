from time import ctime

from stamp import StampFactory
from stampd import Options, makeService
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject


class TestStamp(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.protocol = StampFactory(self.clock).buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def test_each_chunk_has_the_time_before_it(self):
        self.protocol.dataReceived(b"one")
        self.clock.advance(60)
        self.protocol.dataReceived(b"two")
        expected = f"[{ctime(0)}] one[{ctime(60)}] two"
        self.assertEqual(self.transport.value().decode(), expected)

    def test_a_half_close_ends_the_connection(self):
        verifyObject(IHalfCloseableProtocol, self.protocol)
        self.protocol.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)

    def test_reading_pauses_while_answers_wait(self):
        self.assertIs(self.transport.producer, self.transport)
        self.assertTrue(self.transport.streaming)


class TestService(SynchronousTestCase):
    def service(self, *arguments):
        config = Options()
        config.parseOptions(arguments)
        self.reactor = MemoryReactorClock()
        service = makeService(config, self.reactor)
        service.privilegedStartService()
        service.startService()
        return service

    def test_it_listens_where_it_is_told(self):
        self.service("--listen=tcp:4000:interface=127.0.0.1")
        [(port, factory, _, interface)] = self.reactor.tcpServers
        self.assertEqual((port, interface), (4000, "127.0.0.1"))
        self.assertIs(factory.clock, self.reactor)

    def test_what_is_no_endpoint_ends_the_program(self):
        with self.assertRaises(SystemExit):
            self.service("--listen=tpc:4000")
