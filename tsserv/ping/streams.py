"""The standard streams, which may be closed, have no space, or lose their reader."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def open_closed_streams() -> None:
    """Open standard streams that were closed at the start: else the next socket gets their descriptor."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 (open as long as the process)


def terminal_width(stream: TextIO) -> int | None:
    """Return the width of a terminal in columns; ``None`` if the stream is no terminal, or does not tell."""
    with suppress(OSError):
        return os.get_terminal_size(stream.fileno()).columns or None
    return None


def width(stream: TextIO) -> int:
    """Return the width of a terminal in columns; 80 if it is unknown, or if the stream is no terminal."""
    return terminal_width(stream) or 80


def write_line(line: str) -> None:
    """
    Write a line to standard output.  If that fails, later lines are discarded.

    :raises KeyboardInterrupt: if its reader has gone: that ends the run.
    :raises OSError: if it cannot be written for another reason.
    """
    encoding = sys.stdout.encoding
    try:
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        _discard(sys.stdout)
        raise KeyboardInterrupt from None
    except OSError:
        _discard(sys.stdout)
        raise


def _discard(stream: TextIO) -> None:
    """Replace what a stream writes to, so that what is still buffered cannot fail when the process exits."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def write_error(line: str) -> None:
    """Write a line to standard error, if that is possible."""
    try:
        print(line, file=sys.stderr)
    except OSError:
        _discard(sys.stderr)
