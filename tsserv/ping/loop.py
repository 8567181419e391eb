"""One loop for all targets: it resumes tasks when their time comes or their socket is ready."""

from __future__ import annotations

import select
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from selectors import EVENT_READ, DefaultSelector
from typing import NamedTuple, Protocol, TypeVar

from tsserv.ping.interrupt import Interrupt

T = TypeVar("T")


class Source(Protocol):
    """A socket, or something with one."""

    def fileno(self) -> int:
        """Return the file descriptor."""


class Wait(NamedTuple):
    """What a task waits for."""

    #: The latest time at which it is resumed, by the monotonic clock in nanoseconds.
    until: int
    #: What resumes it earlier, and for which events of :mod:`selectors`.
    source: Source | None = None
    events: int = EVENT_READ


# How long the loop waits at most, in nanoseconds.
_LONGEST_PAUSE = 10**12

# What a task waits for that has not begun or has ended.
_NOTHING = Wait(1 << 63)

#: A generator that yields what it waits for, gets whether its source is ready, and returns a ``T``.
Task = Generator[Wait, bool, T]


class Loop:
    """
    Runs tasks.

    :param interrupt: ends all of them.
    """

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._selector = DefaultSelector()
        self._waits: dict[Task[None], Wait] = {}
        self._earliest = 0  # no task has to be resumed before, unless its source is ready

    def run(self, tasks: Sequence[Task[None]]) -> None:
        """
        Run tasks until all have ended.  However the run ends, all tasks are closed.

        :raises KeyboardInterrupt: if the user ends it.
        :raises Exception: what a task raises, which ends the others.
        """
        with self._selector, ExitStack() as stack:
            for task in tasks:
                stack.callback(task.close)
            for task in tasks:
                self._resume(task, None)
            while self._waits:
                pause = max(0, self._earliest - time.monotonic_ns()) / 1e9
                with self._interrupt:
                    # Unlike poll and epoll this waits to the microsecond, as aimed probes need.
                    select.select([self._selector], [], [], pause)
                for key, _ in self._selector.select(0):
                    self._resume(key.data, True)
                if self._earliest <= (now := time.monotonic_ns()):
                    # A task that sends is followed by little, since that is part of the measured time.
                    due = [task for task, wait in self._waits.items() if wait.until <= now]
                    later = (wait.until for wait in self._waits.values() if wait.until > now)
                    self._earliest = min(later, default=now + _LONGEST_PAUSE)
                    for task in due:
                        self._resume(task, False)

    def _resume(self, task: Task[None], ready: bool | None) -> None:
        """Let a task go on to its next wait; ``ready`` is ``None`` for one that has not begun."""
        before = self._waits.get(task, _NOTHING)
        try:
            # The type of a generator does not know that the first value has to be None.
            after = self._waits[task] = task.send(ready)  # type: ignore[arg-type]
        except StopIteration:
            self._waits.pop(task, None)
            after = _NOTHING
        if after.until < self._earliest:
            self._earliest = after.until
        if before.source is after.source and before.events == after.events:
            return
        if before.source is not None:
            self._selector.unregister(before.source)
        if after.source is not None:
            self._selector.register(after.source, after.events, task)


def complete(task: Task[T], interrupt: Interrupt) -> T:
    """Run one task alone, and return what it returns."""
    results: list[T] = []

    def keep() -> Task[None]:
        results.append((yield from task))

    Loop(interrupt).run([keep()])
    return results[0]
