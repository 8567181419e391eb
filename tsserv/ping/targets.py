"""The targets of a run, from the command line and from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from tsserv.ping.address import Endpoint, targets


def read_targets(words: Sequence[str], file: Path | None, default_port: int) -> list[Endpoint]:
    """
    Return the targets that words name, then those that the lines of a file name.

    A word that begins with ``#`` begins a comment.

    :param default_port: of hosts without one.
    :raises ValueError: if a target cannot be read, or is there twice; the text says which.
    :raises OSError: if the file cannot be read.
    """
    found = targets(words, default_port)
    # The bytes of a path need not be UTF-8.
    text = "" if file is None else file.read_text("utf-8", "surrogateescape")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found += targets([*takewhile(lambda word: word[0] != "#", line.split())], default_port)
        except ValueError as error:
            raise ValueError(f"line {number} of {file}: {error}") from error
    for target, times in Counter(found).items():
        if times > 1:
            raise ValueError(f"{target} is given {times} times")
    return found
