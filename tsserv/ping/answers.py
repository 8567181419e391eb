"""Probes as bytes, and the answers to them in the bytes that come back; no clock and no socket."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from zlib import crc32

#: The shortest probe, in bytes: room for the token, any number, the check and a newline.
SMALLEST = 32

#: The longest probe, in bytes: the size of one read of the service.
LARGEST = 64 * 1024

# A stamp contains no newline and no "]", and has at most 256 bytes.  Probes contain no brackets, so only a
# stamp matches.
_STAMP = re.compile(rb"\[[^\]\n]{0,253}\] ")
_PADDING = b"abcdefghijklmnopqrstuvwxyz0123456789"


class Probes:
    """
    The lines that one run sends: ``TOKEN-NUMBER-CHECK PADDING``.

    The token is random, so that runs do not mistake each other's lines.  The check (CRC-32) shows whether the
    number was altered on its way.

    :param size: of each line including its newline, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._token = os.urandom(4).hex().encode()
        self._padding = _PADDING * (size // len(_PADDING) + 1)
        #: Matches the head of a probe; its groups are the checked text, the number, and the check.
        self.head = re.compile(rb"(%s-(\d{1,10}))-([0-9a-f]{8}) " % self._token)

    def line(self, number: int) -> bytes:
        """Return the probe with this number, which is at least 1."""
        text = b"%s-%d" % (self._token, number)
        line = b"%s-%08x %s" % (text, crc32(text), self._padding)
        return line[: self.size - 1] + b"\n"


class Answer(NamedTuple):
    """One line that came back, perhaps damaged."""

    #: The number of the probe that it answers; ``None`` if it cannot be read.
    number: int | None
    #: Whether it consists of exactly the bytes of the probe and stamps.
    intact: bool
    #: The stamp of the chunk that contained the probe's last byte; ``None`` if there was none.
    stamp: bytes | None
    #: How many stamps it contains: none if it shares the chunk of the previous answer.
    stamps: int
    #: The bytes as received.
    line: bytes


class Answers:
    """
    Parses the bytes received on one connection; it accepts any pieces, and skips lines that it cannot parse.

    A line is a probe with a stamp before it (line framing), or with a stamp wherever a chunk began (chunk
    framing): several stamps, or none if the chunk began in an earlier line.

    :param probes: the lines that were sent.
    """

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._stamp: bytes | None = None
        self._begun = bytearray()  # an incomplete line
        self._overlong = False  # it is too long for an answer, and was reported
        # Enough for a probe that arrives in pieces of 64 bytes, each with the longest stamp.
        self._longest = (probes.size // 64 + 2) * (64 + 256)

    @property
    def begun(self) -> bytes:
        """The bytes of the incomplete line."""
        return bytes(self._begun)

    def feed(self, data: bytes) -> list[Answer]:
        """Take received bytes, and return the answers that they complete."""
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
        stamps = []  # each with its position in the text, which is the line without stamps
        before = 0
        for match in _STAMP.finditer(line):
            stamps.append((match.start() - before, match[0]))
            before += len(match[0])
        text = _STAMP.sub(b"", line)
        heads: list[re.Match[bytes] | None] = [*self._probes.head.finditer(text)] or [None]
        # If there are several heads, the newlines between them were altered.
        starts = [0, *(head.start() for head in heads[1:] if head)]
        answers = []
        for head, start, end in zip(heads, starts, [*starts[1:], len(text)], strict=True):
            own = [stamp for at, stamp in stamps if start <= at < end]
            self._stamp = own[-1] if own else self._stamp
            number = int(head[2]) if head and crc32(head[1]) == int(head[3], 16) else None
            intact = number is not None and text[start:end] == self._probes.line(number)
            answers.append(Answer(number, intact, self._stamp, len(own), line))
        return answers


def excerpt(data: bytes) -> str:
    """Return the beginning of received data, quoted so that a terminal can show it."""
    text = data[:60].decode(errors="backslashreplace")
    return repr(text.rstrip()) + ("..." if len(data) > 60 else "")
