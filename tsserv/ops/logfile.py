"""The service's own log file."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from io import FileIO
from pathlib import Path

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
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

_log = Logger("tsserv")


def open_log(path: str) -> FileIO:
    """
    Return the file at ``path``, open for appending, without a buffer.

    :raises OSError: if that cannot be.
    """
    # By its absolute name, to be found again: twistd changes its folder.
    return Path(path).absolute().open("ab", buffering=0)


def _as_json(event: LogEvent) -> str:
    """Return an event as a JSON object on a line, without what is ``None``."""
    when = datetime.fromtimestamp(event["log_time"], timezone.utc).isoformat(timespec="microseconds")
    fields = {"time": when, "event": event.get("event", "message")}
    if "event" in event:
        fields.update((name, event[name]) for name in _FIELDS if event.get(name) is not None)
    else:
        fields.update(level=event["log_level"].name, message=formatEvent(event))
    return json.dumps(fields) + "\n"


# What lines about connections hold, in this order.
_FIELDS = ("peer", "port", "bytes_in", "bytes_out", "chunks", "duration", "reason")

#: What makes a line of an event, by the name on the command line.
FORMATS: dict[str, Callable[[LogEvent], str | None]] = {
    "text": formatEventAsClassicLogText,
    "json": _as_json,
}


@implementer(ILogObserver)
class LogFile(MultiService):
    """
    Appends what the modules of this package log to a file, a line for each event.

    It is the parent of the other services: it begins before them, so that the file tells where they
    listen, and ends after them, so that it tells how they stopped.

    :param file: open for writing; closed when the service stops.
    :param line: makes a line of an event.
    :param publisher: where the events come from.
    """

    def __init__(
        self,
        file: FileIO,
        line: Callable[[LogEvent], str | None],
        publisher: LogPublisher = globalLogPublisher,
    ) -> None:
        super().__init__()
        self._file = file
        self._line = line
        self._publisher = publisher
        self._lost = 0  # lines that could not be written

    def privilegedStartService(self) -> None:
        """Begin to write, and let the children start."""
        self._publisher.addObserver(self)
        super().privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """
        Stop the children, then close the file.

        :return: fires when that is done.
        """
        stopped: Deferred[None] = super().stopService()
        return stopped.addBoth(self._close)

    def _close(self, result: object) -> None:
        self._publisher.removeObserver(self)
        self._file.close()

    def renew(self) -> None:
        """Go on in a new file of the same name: somebody may have renamed the old one, as logrotate does."""
        try:
            file = open_log(str(self._file.name))
        except OSError as error:
            _log.error(
                "Cannot reopen the log file {path}: {error}", path=self._file.name, error=error.strerror
            )
            return
        self._file.close()
        self._file = file

    def __call__(self, event: LogEvent) -> None:
        """Write ``event``, if it is of this package."""
        if event.get("log_namespace") != "tsserv":
            return
        try:
            self._file.write((self._line(event) or "").encode())
        except OSError as error:  # Twisted would log a traceback for each line, as long as a disk is full
            self._lost += 1
            if self._lost == 1:
                _log.error(
                    "Cannot write to the log file {path}: {error}", path=self._file.name, error=error.strerror
                )
        else:
            if self._lost:
                lost, self._lost = self._lost, 0
                _log.warn(
                    "The log file {path} can be written again; lines lost: {lost}",
                    path=self._file.name,
                    lost=lost,
                )
