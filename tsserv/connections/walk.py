"""Looks at all connections that let the reactor do its other work in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

_log = Logger("tsserv")

# How many connections are looked at in one turn of the reactor: it takes a third of a millisecond.
_AT_ONCE = 100

_T = TypeVar("_T")


def call_each(connections: Iterable[_T], call: Callable[[_T], None]) -> None:
    """Call ``call`` with each of ``connections``; an exception is logged, and does not end a timer."""
    for connection in connections:
        try:
            call(connection)
        except Exception:
            _log.failure("Unhandled error in {connection}", connection=connection)


async def walk(connections: Set[_T], call: Callable[[_T], None], clock: IReactorTime) -> None:
    """
    Do the same with a hundred connections in each turn of the reactor.

    Those that leave the set meanwhile are passed over, and those that come into it too.
    """
    present = list(connections)
    for start in range(0, len(present), _AT_ONCE):
        if start:
            await deferLater(clock, 0)
        call_each([one for one in present[start : start + _AT_ONCE] if one in connections], call)
