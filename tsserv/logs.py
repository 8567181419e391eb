"""The service's own log file."""

from __future__ import annotations

from typing import TextIO

from twisted.application.service import Service
from twisted.logger import ILogObserver, LogEvent, LogPublisher, globalLogPublisher, textFileLogObserver
from zope.interface import implementer


@implementer(ILogObserver)
class LogFile(Service):
    """
    While it runs, appends what the modules of this package log to a file, a line for each event.

    :param file: open for writing; closed when the service stops.
    :param publisher: where the events come from.
    """

    def __init__(self, file: TextIO, publisher: LogPublisher = globalLogPublisher) -> None:
        self._file = file
        self._publisher = publisher
        self._write = textFileLogObserver(file)

    def privilegedStartService(self) -> None:
        """Begin before any listener does, so that the file tells where they listen."""
        self._publisher.addObserver(self)

    def stopService(self) -> None:
        """End and close the file."""
        super().stopService()
        self._publisher.removeObserver(self)
        self._file.close()

    def __call__(self, event: LogEvent) -> None:
        """Write ``event``, if it is of this package."""
        if event.get("log_namespace", "").partition(".")[0] == __package__:
            self._write(event)
