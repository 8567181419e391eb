"""Which bytes answer which: where the stamps go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from tsserv.stamp import Stamp

# The most that the answer to one chunk may grow to in line framing, in bytes.  With what a connection holds
# when it is paused (one more read) it stays below 512 KiB.
_LARGEST_ANSWER = 448 * 1024


class Lines(Protocol):
    """The state of one connection that a framing may need."""

    #: Whether the next byte that arrives begins a line; true in the beginning.
    at_line_start: bool


#: Makes the answer to one chunk; see :meth:`Framing.answer`.
Answer = Callable[[bytes, Lines], bytes]


class Framing(ABC):
    """
    Makes the answers of all connections.

    :param stamp: returns the stamp of now.
    """

    #: How many bytes a connection reads at once, at most.  Each read is a chunk.
    read_size = 64 * 1024  # Twisted's default

    def __init__(self, stamp: Stamp) -> None:
        self._now = stamp.__call__  # a call of a method costs half of what a call of an instance does

    @abstractmethod
    def answer(self, data: bytes, lines: Lines) -> bytes:
        """
        Return the answer to one chunk.

        :param data: the chunk; not empty.
        :param lines: the state of its connection, which may change.
        """


class ChunkFraming(Framing):
    """One stamp before each chunk, whatever is in it; the framing of the original."""

    def answer(self, data: bytes, lines: Lines) -> bytes:
        """Return the stamp and ``data``."""
        return self._now() + data


class LineFraming(Framing):
    """
    One stamp at the start of each line, however the lines are cut into chunks; a newline ends a line.

    Nothing is held back: the bytes of a line are answered as they come, so there is no longest line.
    """

    def __init__(self, stamp: Stamp) -> None:
        super().__init__(stamp)
        # A chunk of newlines grows by a stamp for each.  Lines for each second of CPU, against 16 KiB: 0.66
        # with 4 KiB, 0.89 with 8, 1.01 with 12, 1.18 with 24 and 32, 1.04 with 64.  Above 16 the largest
        # answer would be above its bound.
        self.read_size = min(16 * 1024, _LARGEST_ANSWER // (stamp.longest + 1))

    def answer(self, data: bytes, lines: Lines) -> bytes:
        """Return ``data`` with a stamp at the start of each line that begins in it."""
        stamp = self._now()
        # A newline at the end begins no line yet.
        answer = data[:-1].replace(b"\n", b"\n" + stamp) + data[-1:]
        if lines.at_line_start:
            answer = stamp + answer
        lines.at_line_start = data.endswith(b"\n")
        return answer


#: The framings by their names on the command line.
FRAMINGS: dict[str, type[Framing]] = {"chunk": ChunkFraming, "line": LineFraming}
