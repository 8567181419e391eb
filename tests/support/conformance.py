"""
Twisted's own tests of listeners and their connections, over an eager reactor around each of its reactors.

Run by Twisted's test runner: ``trial tests/support/conformance.py``.

The tests of clients and datagrams are not among them: an eager reactor hands those on to the real one.
"""

from __future__ import annotations

from twisted.internet.test import test_tcp, test_unix

from tsserv.net.reactor import EagerReactor


class Eager:
    """Mixed into a test builder of Twisted's: wraps each reactor that it builds in an eager one."""

    _reactors = (
        "twisted.internet.epollreactor.EPollReactor",
        "twisted.internet.pollreactor.PollReactor",
        "twisted.internet.selectreactor.SelectReactor",
        "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
    )

    def buildReactor(self) -> EagerReactor:
        return EagerReactor(super().buildReactor())  # type: ignore[misc]


class UNIXTestsBuilder(test_unix.UNIXTestsBuilder):
    """Twisted's, but for one test."""

    def test_logPrefix(self) -> None:
        """What is logged while a client is accepted would have the factory's prefix."""

    test_logPrefix.skip = (  # type: ignore[attr-defined]
        "An eager reactor makes no logging context for each event, on purpose."
    )


for builder in (
    test_tcp.AbortConnectionTests,
    test_tcp.TCPConnectionTestsBuilder,
    test_tcp.TCPFDPortTestsBuilder,
    test_tcp.TCPPortTestsBuilder,
    test_tcp.TCPTransportTestsBuilder,
    test_unix.UNIXFDPortTestsBuilder,
    test_unix.UNIXPortTestsBuilder,
    UNIXTestsBuilder,
):
    eager = type(f"Eager{builder.__name__}", (Eager, builder), {})
    globals().update(eager.makeTestCaseClasses())  # type: ignore[attr-defined]
