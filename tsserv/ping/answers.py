"""Probes, and the stream of bytes that comes back, read for answers to them."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from zlib import crc32

#: The shortest probe, in bytes: room for the token, any number, the check and a newline.
SMALLEST = 32

#: The longest probe, in bytes: what one read of the service takes in.
LARGEST = 64 * 1024

# A stamp holds no newline and no "]", and is of at most 256 bytes.  Probes hold no "[" and no "]", so
# nothing in an answer looks like a stamp but a stamp.
_STAMP = re.compile(rb"\[[^\]\n]{0,253}\] ")
_PADDING = b"abcdefghijklmnopqrstuvwxyz0123456789"


class Probes:
    """
    The lines that one run sends: ``TOKEN-NUMBER-CHECK PADDING``.

    No other run has the token.  The check (CRC-32) tells a number that was altered on its way.

    :param size: of each line with its newline, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._token = os.urandom(4).hex().encode()
        self._padding = _PADDING * (size // len(_PADDING) + 1)
        #: Finds the head of a probe; its groups are what the check is of, the number, and the check.
        self.head = re.compile(rb"(%s-(\d{1,10}))-([0-9a-f]{8}) " % self._token)

    def line(self, number: int) -> bytes:
        """Return the probe of a number, from 1 on."""
        text = b"%s-%d" % (self._token, number)
        line = b"%s-%08x %s" % (text, crc32(text), self._padding)
        return line[: self.size - 1] + b"\n"


class Answer(NamedTuple):
    """One line that came back, or what is left of it."""

    #: What it answers; ``None`` if that cannot be told.
    number: int | None
    #: Whether every byte of the probe came back, and nothing but stamps with it.
    intact: bool
    #: The stamp of the chunk in which the probe's last byte arrived; ``None`` if there has been none.
    stamp: bytes | None
    #: How many stamps are in it: none if it shares the chunk of the answer before it.
    stamps: int
    #: The bytes as they came.
    line: bytes


class Answers:
    """
    Reads one connection's stream, however it is cut, and goes on after whatever it cannot read.

    A line of the stream is a probe with a stamp before it (line framing), or with a stamp wherever a chunk
    began (chunk framing): several, or none at all if the chunk began in an earlier line.

    :param probes: what has been sent.
    """

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._stamp: bytes | None = None
        self._begun = bytearray()  # the line whose end has not come
        self._overlong = False  # it is already too long for an answer, and has been reported
        # Even if the network cuts a probe into pieces of 64 bytes, each with the longest stamp.
        self._longest = (probes.size // 64 + 2) * (64 + 256)

    @property
    def begun(self) -> bytes:
        """The bytes of a line whose end has not come."""
        return bytes(self._begun)

    def feed(self, data: bytes) -> list[Answer]:
        """Read what came, and return the answers that it completes."""
        answers: list[Answer] = []
        *ends, begin = data.split(b"\n")
        for end in ends:
            if not self._overlong:
                answers += self._read(bytes(self._begun) + end + b"\n")
            self._begun.clear()
            self._overlong = False
        if not self._overlong:
            self._begun += begin
        if len(self._begun) > self._longest:
            answers += self._read(bytes(self._begun))
            self._begun.clear()
            self._overlong = True
        return answers

    def _read(self, line: bytes) -> list[Answer]:
        stamps = []  # and where they were in the text, which is the line without them
        before = 0
        for match in _STAMP.finditer(line):
            stamps.append((match.start() - before, match[0]))
            before += len(match[0])
        text = _STAMP.sub(b"", line)
        heads: list[re.Match[bytes] | None] = [*self._probes.head.finditer(text)] or [None]
        # With more than one head, the newlines between them were altered.
        starts = [0, *(head.start() for head in heads[1:] if head)]
        answers = []
        for head, start, end in zip(heads, starts, [*starts[1:], len(text)], strict=True):
            own = [stamp for at, stamp in stamps if start <= at < end]
            self._stamp = own[-1] if own else self._stamp
            number = int(head[2]) if head and crc32(head[1]) == int(head[3], 16) else None
            intact = number is not None and text[start:end] == self._probes.line(number)
            answers.append(Answer(number, intact, self._stamp, len(own), line))
        return answers
