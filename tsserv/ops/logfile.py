"""The service's own log file."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from functools import lru_cache
from io import FileIO
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogPublisher,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
    globalLogPublisher,
)
from zope.interface import implementer

from tsserv.ops.linewriter import LineWriter

_log = Logger("tsserv")


def open_log(path: str, uid: int | None = None, gid: int | None = None) -> FileIO:
    """
    Return the file at ``path``, open for appending, without a buffer.

    :param uid: the owner of a file that this makes, who can then reopen it; by default the process's user.
    :param gid: its group.
    :raises OSError: if it cannot be opened.
    """

    def open_or_make(path: str, flags: int) -> int:
        try:
            descriptor = os.open(path, flags | os.O_EXCL, 0o666)
        except FileExistsError:
            # A FIFO opened for reading too does not wait for a reader, and survives its end.
            return os.open(path, os.O_RDWR if Path(path).is_fifo() else flags, 0o666)
        with contextlib.suppress(PermissionError):  # not root: twistd says so when it cannot change its user
            os.fchown(descriptor, -1 if uid is None else uid, -1 if gid is None else gid)
        return descriptor

    # By its absolute path, so that it is found again: twistd changes its directory.
    return FileIO(str(Path(path).absolute()), "ab", opener=open_or_make)


def check_log(path: str) -> None:
    """
    Check that :func:`open_log` could open the file at ``path``, as far as one can know without making it.

    :raises OSError: if it could not.
    """
    file = Path(path).absolute()
    if file.exists():
        open_log(path).close()
    elif not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    elif not os.access(file.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


# A second is formatted once: that takes 4.6 microseconds, and a busy log has hundreds of lines in one.
_format_second = lru_cache(maxsize=1)(formatTime)


def as_text(event: LogEvent) -> str:
    """Return an event as ``twistd`` writes it."""
    if "event" in event:  # of the access log
        level, text = event["log_level"].name, event["log_format"].format_map(event)
        return f"{_format_second(int(event['log_time']))} [tsserv#{level}] {text}\n"
    return formatEventAsClassicLogText(event) or ""


def _as_json(event: LogEvent) -> str:
    """Return an event as a JSON object on a line, without fields that are ``None``."""
    when = datetime.fromtimestamp(event["log_time"], timezone.utc).isoformat(timespec="microseconds")
    fields = {"time": when, "event": event.get("event", "message")}
    if "event" in event:
        fields.update((name, event[name]) for name in _FIELDS if event.get(name) is not None)
    else:
        fields.update(level=event["log_level"].name, message=formatEvent(event))
    return json.dumps(fields) + "\n"


# The fields of lines about connections, in this order.
_FIELDS = ("peer", "port", "bytes_in", "bytes_out", "chunks", "duration", "reason", "open", "close")

#: Functions that make a line of an event, by their name on the command line.
FORMATS: dict[str, Callable[[LogEvent], str]] = {"text": as_text, "json": _as_json}


@implementer(ILogObserver)
class LogFile(Service):
    """
    Appends what the modules of this package log to a file, a line for each event.

    It starts before the other services and stops after them, so that the file says where they listen and
    how they stopped.

    :param file: open for writing; closed when the service stops.
    :param line: makes a line of an event.
    :param reactor: the one that runs the service.
    :param publisher: where the events come from.
    """

    def __init__(
        self,
        file: FileIO,
        line: Callable[[LogEvent], str],
        reactor: IReactorCore,
        publisher: LogPublisher = globalLogPublisher,
    ) -> None:
        self._path = str(file.name)
        # As the log shows it: not every name is UTF-8.
        self._shown = os.fsencode(self._path).decode(errors="backslashreplace")
        self._writer = LineWriter(file, f"the log file {self._shown}", reactor)
        self._line = line
        self._publisher = publisher

    def privilegedStartService(self) -> None:
        """Begin to write."""
        super().privilegedStartService()
        self._publisher.addObserver(self)

    def stopService(self) -> None:
        """Close the file."""
        super().stopService()
        self._publisher.removeObserver(self)
        self._writer.close()

    @property
    def lost(self) -> int:
        """How many lines have been lost."""
        return self._writer.lost

    def reload(self) -> None:
        """Reopen the file by its name: the old one may have been renamed, as logrotate does."""
        try:
            file = open_log(self._path)
        except OSError as error:
            _log.error(
                "Cannot reopen the log file {path}: {error}; the old one stays in use",
                path=self._shown,
                error=error.strerror,
            )
        else:
            self._writer.switch(file)

    def __call__(self, event: LogEvent) -> None:
        """Write ``event``, if it is of this package."""
        if event.get("log_namespace") == "tsserv":
            self.write([event])

    def write(self, events: Iterable[LogEvent]) -> None:
        """Write a line for each event."""
        self._writer.write(*map(self._line, events))
