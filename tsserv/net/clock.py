"""The clock that durations are measured with."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.base import DelayedCall, ReactorBase


def measure_with_monotonic_clock(reactor: Any) -> None:  # noqa: ANN401 (any reactor)
    """
    Have ``reactor`` time what it does by the monotonic clock.

    Twisted's reactors use the wall clock. When it is set back by an hour, no timeout ends for an hour; when
    it is set forward, all end at once.

    The new clock goes on from where the old one is, so what has been scheduled stays as it is, and code that
    takes ``reactor.seconds()`` for a date is right until the wall clock is set. A reactor that is not one of
    Twisted's, such as a clock of a test, is left alone.
    """
    if isinstance(reactor, ReactorBase):
        monotonic = time.monotonic
        start = reactor.seconds() - monotonic()
        reactor.seconds = lambda: start + monotonic()
        for call in reactor.getDelayedCalls():
            assert isinstance(call, DelayedCall)
            call.seconds = reactor.seconds  # used if the call is put off
