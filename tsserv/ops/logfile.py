"""The service's own log file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
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
    globalLogPublisher,
)
from zope.interface import implementer

from tsserv.ops.linewriter import LineWriter

_log = Logger("tsserv")


def open_log(path: str) -> FileIO:
    """
    Return the file at ``path``, open for appending, without a buffer.

    :raises OSError: if it cannot be opened.
    """
    # By its absolute path, so that it is found again: twistd changes its directory.
    return FileIO(str(Path(path).absolute()), "ab", opener=_open)


def _open(path: str, flags: int) -> int:
    """Open a FIFO for reading too, which does not wait for a reader and survives its end."""
    return os.open(path, os.O_RDWR if Path(path).is_fifo() else flags, 0o666)


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
_FIELDS = ("peer", "port", "bytes_in", "bytes_out", "chunks", "duration", "reason")

#: Functions that make a line of an event, by their name on the command line.
FORMATS: dict[str, Callable[[LogEvent], str | None]] = {
    "text": formatEventAsClassicLogText,
    "json": _as_json,
}


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
        line: Callable[[LogEvent], str | None],
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

    def reload(self) -> None:
        """Reopen the file by its name: the old one may have been renamed, as logrotate does."""
        try:
            file = open_log(self._path)
        except OSError as error:
            _log.error("Cannot reopen the log file {path}: {error}", path=self._shown, error=error.strerror)
        else:
            self._writer.switch(file)

    def __call__(self, event: LogEvent) -> None:
        """Write ``event``, if it is of this package."""
        if event.get("log_namespace") == "tsserv":
            self._writer.write(self._line(event) or "")
