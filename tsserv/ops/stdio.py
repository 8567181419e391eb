"""Standard input, output and error."""

from __future__ import annotations

import os
import sys
from io import FileIO
from typing import TextIO, cast

from twisted.internet.interfaces import IReactorCore

from tsserv.ops.linewriter import LineWriter


def open_closed_descriptors() -> None:
    """
    Open ``/dev/null`` for each file descriptor from 0 to 2 that is closed.

    Otherwise a file or socket would get its number, and ``twistd`` would replace it by ``/dev/null`` when it
    becomes a daemon.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def unblock_stdout(reactor: IReactorCore) -> None:
    """Put a :class:`LineWriter` in the place of ``sys.stdout``, before ``twistd -n`` begins to log to it."""
    if sys.stdout is not None:  # Python has none if descriptor 1 was closed at the start
        sys.stdout.flush()
        file = FileIO(sys.stdout.fileno(), "wb", closefd=False)
        sys.stdout = cast(TextIO, LineWriter(file, "standard output", reactor))
