"""Standard input, output and error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from io import FileIO
from typing import TextIO, cast

from twisted.internet.interfaces import IReactorCore
from twisted.logger import LogEvent

from tsserv.ops.linewriter import LineWriter
from tsserv.ops.logfile import as_text


def open_closed_descriptors() -> None:
    """
    Open ``/dev/null`` for each file descriptor from 0 to 2 that is closed.

    Otherwise a file or socket would get its number, and ``twistd`` would replace it by ``/dev/null`` when it
    becomes a daemon.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def unblock_stdout(
    reactor: IReactorCore, twistd: Mapping[str, object]
) -> Callable[[Iterable[LogEvent]], None] | None:
    """
    Put a :class:`LineWriter` in the place of ``sys.stdout``, before ``twistd -n`` begins to log to it.

    :param twistd: its own options.
    :return: writes events there as ``twistd`` does, but many at once; ``None`` if ``twistd`` logs elsewhere.
    """
    if sys.stdout is None:  # descriptor 1 was closed at the start
        return None
    sys.stdout.flush()
    writer = LineWriter(FileIO(sys.stdout.fileno(), "wb", closefd=False), "standard output", reactor)
    sys.stdout = cast(TextIO, writer)
    elsewhere = twistd.get("logger") or twistd.get("syslog") or twistd.get("logfile") not in (None, "", "-")
    if elsewhere or not twistd.get("nodaemon"):
        return None
    return lambda events: writer.write(*map(as_text, events))
