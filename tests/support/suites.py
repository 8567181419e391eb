"""
Twisted's own tests of protocols, with every TCP listener that they start made by an eager reactor.

Run by Twisted's test runner: ``trial tests/support/suites.py``. It prints ``failed: NAME`` for each test that
fails; some fail without an eager reactor too, for example those that must not be run by root.
"""

from __future__ import annotations

import unittest

from twisted.internet.interfaces import IProtocolFactory
from twisted.trial.runner import TestLoader

from tsserv.net.port import EagerPort
from tsserv.net.reactor import EagerReactor

_SUITES = (
    "twisted.mail",
    "twisted.test.test_policies",
    "twisted.test.test_protocols",
    "twisted.test.test_tcp",
    "twisted.web",
    "twisted.words",
)


class _NamesFailures(unittest.TestSuite):
    def run(self, result: unittest.TestResult, debug: bool = False) -> unittest.TestResult:
        super().run(result, debug)
        for test, _ in (*result.failures, *result.errors):
            print(f"failed: {test.id()}")
        print(f"eager listeners: {_started}")
        return result


_started = 0


def testSuite() -> unittest.TestSuite:
    """Return the suites; Twisted's runner calls this."""
    from twisted.internet import reactor

    def listen_eagerly(
        port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> EagerPort:
        global _started
        _started += 1
        # One for each, since the end of a test that has failed has the real reactor forget it.
        return EagerReactor(reactor).listenTCP(port, factory, backlog, interface)

    reactor.listenTCP = listen_eagerly  # type: ignore[method-assign]
    return _NamesFailures([TestLoader().loadByNames(list(_SUITES), recurse=True)])
