"""The service's own log file."""

from __future__ import annotations

from typing import TextIO

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogPublisher, globalLogPublisher, textFileLogObserver
from zope.interface import implementer


@implementer(ILogObserver)
class LogFile(MultiService):
    """
    Appends what the modules of this package log to a file, a line for each event.

    It is the parent of the other services: it begins before them, so that the file tells where they
    listen, and ends after them, so that it tells how they stopped.

    :param file: open for writing; closed when the service stops.
    :param publisher: where the events come from.
    """

    def __init__(self, file: TextIO, publisher: LogPublisher = globalLogPublisher) -> None:
        super().__init__()
        self._file = file
        self._publisher = publisher
        self._write = textFileLogObserver(file)

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

    def __call__(self, event: LogEvent) -> None:
        """Write ``event``, if it is of this package."""
        if event.get("log_namespace", "").partition(".")[0] == __package__:
            self._write(event)
