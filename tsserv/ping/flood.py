"""Load: many connections, each sending its next probe as soon as it has the answer to the last."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import count
from selectors import DefaultSelector

from tsserv.ping.connection import ConnectionEnded
from tsserv.ping.conversation import Conversation
from tsserv.ping.loop import complete
from tsserv.ping.run import Run
from tsserv.ping.streams import width

# How often the progress bar and overdue probes are updated, in nanoseconds.
_TICK = 100_000_000


class Flood:
    """
    A closed loop: each connection has at most one unanswered probe.

    One thread serves all connections.  With many of them an answer waits for its turn, and that wait is part
    of its round-trip time.

    :param run: where everything is counted.
    :param duration: how long to send, in nanoseconds.
    :param progress: is called repeatedly with the nanoseconds since the start.
    """

    def __init__(self, run: Run, duration: int, progress: Callable[[int], None]) -> None:
        self._run = run
        self._duration = duration
        self._progress = progress
        self._numbers = count(1)
        self._sending = True
        self._selector = DefaultSelector()
        self._reasons: Counter[str] = Counter()

    def run(self, connections: int) -> None:
        """
        Connect, send, and wait for the last answers.

        :param connections: their number.
        :raises CannotConnect: if one of them cannot be made.
        :raises ConnectionEnded: if some ended early.
        :raises NotTsserv: if the server is not tsserv.
        """
        conversations = []
        with self._selector, ExitStack() as stack:
            for _ in range(connections):
                conversation = complete(self._run.connect(details=False), self._run.interrupt)
                stack.enter_context(closing(conversation.connection))
                conversations.append(conversation)
            begin = time.monotonic_ns()
            try:
                for conversation in conversations:
                    connection = conversation.connection
                    self._selector.register(connection, connection.events, conversation)
                self._loop(begin)
            finally:
                self._run.summary.seconds = min(time.monotonic_ns() - begin, self._duration) / 1e9
                for conversation in conversations:
                    conversation.end()
        if self._reasons:
            most = max(self._reasons, key=self._reasons.__getitem__)
            raise ConnectionEnded(f"{self._reasons.total()} of {connections} connections ended: {most}")

    def _loop(self, begin: int) -> None:
        due = begin
        while self._selector.get_map():
            now = time.monotonic_ns()
            if now >= due:
                due = now + _TICK
                self._sending = now < begin + self._duration
                self._progress(min(now - begin, self._duration))
                # Connections with nothing to read have not begun, are overdue, or have finished.
                for key in list(self._selector.get_map().values()):
                    key.data.overdue()
                    self._turn(key.data)
            with self._run.interrupt:
                ready = self._selector.select((due - time.monotonic_ns()) / 1e9)
            for key, _ in ready:
                self._turn(key.data)

    def _turn(self, conversation: Conversation) -> None:
        connection = conversation.connection
        try:
            connection.flush()
            conversation.receive()
            if self._sending and conversation.deadline is None and not connection.unsent:
                conversation.send(next(self._numbers))
        except ConnectionEnded as error:
            self._reasons[str(error)] += 1
            self._selector.unregister(connection)
            conversation.end(str(error))
            return
        if conversation.deadline is None and not self._sending:
            self._selector.unregister(connection)
            return
        if self._selector.get_key(connection).events != connection.events:
            self._selector.modify(connection, connection.events, conversation)


class Bar:
    """
    A progress bar on standard error, shown if that is a terminal.

    :param duration: of the flood, in nanoseconds.
    """

    def __init__(self, duration: int) -> None:
        self._duration = duration
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, elapsed: int) -> None:
        """Draw the bar."""
        if self._shown:
            text = f"{elapsed / 1e9:.1f} of {self._duration / 1e9:g} s"
            room = max(min(40, width(sys.stderr) - len(text) - 4), 1)
            bar = "#" * (room * elapsed // self._duration)
            print(f"\r[{bar:{room}}] {text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Erase the bar."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # Erase in Line (ECMA-48)
