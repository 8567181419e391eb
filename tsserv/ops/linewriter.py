"""
Write lines of log in a thread of its own, so that the service never waits for their reader.

A line goes from ``write`` into a queue, and from there, with those behind it, into the file.  It is lost if
the queue is full (nobody reads the pipe or the terminal), or if the system refuses it (the disk is full).
Lost lines are counted; the log has a line when they begin, and one with their number when they are over.
The thread of the reactor logs these two.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import threading
import time
from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path
from queue import SimpleQueue

from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.logger import Logger

_log = Logger("tsserv")

# How many lines may wait to be written: seconds of a busy log, and a few MB.
_MOST_WAITING = 10_000

# How many of them the thread takes at once: in pieces one system call writes many lines.
_BATCH = 100

# How long all waiting together may take while the reactor does not run, in seconds.
_PATIENCE = 1.0


class LineWriter:
    """
    A text file for whole lines, in UTF-8.

    While the reactor runs no method waits, but for ``close``.  Before and after, when nothing else is held up
    and the process may end at any time, ``write`` waits until the line is written: a second in all, at most.

    :param file: open for writing.
    :param name: what the log calls it.
    :param reactor: says whether it runs.
    """

    def __init__(self, file: FileIO, name: str, reactor: IReactorCore) -> None:
        self._file = file
        self._name = name
        self._reactor = reactor
        self._patience = _PATIENCE
        self._thread: threading.Thread | None = None  # started late: twistd forks before
        # Lines, and what else the thread has to do between them.
        self._queue: SimpleQueue[bytes | Callable[[], None]] = SimpleQueue()
        # Of the caller's thread.
        self._full = False  # lines are dropped until the queue is empty
        self._dropped = 0  # lines that did not fit into the queue
        self._losing = False  # whether the log says so
        self._logged = 0  # lines of whose loss the log has told
        # Of the writing thread.
        self._error = ""  # why the last line could not be written
        self._refused = 0  # lines that the system did not take
        self._torn = _ends_within_a_line(file)

    def write(self, *lines: str) -> None:
        """Write lines, each of which ends with a newline."""
        self._log_losses()  # first, since what was lost comes before these lines
        if self._full:
            self._dropped += len(lines)
        else:
            for line in lines:
                # Names of files may hold bytes that are not UTF-8.
                self._put(line.encode(errors="backslashreplace"))
            if not self._reactor.running:
                self._wait()
                self._log_losses()

    @property
    def lost(self) -> int:
        """How many lines have been lost."""
        return self._dropped + self._refused

    def flush(self) -> None:
        """Do nothing: lines are written as soon as that is possible."""

    def switch(self, file: FileIO) -> None:
        """Write later lines to ``file``, and close the old one when it has all earlier ones."""
        self._put(partial(self._switch, file))

    def close(self) -> None:
        """Close the file when it has every line; wait for that, for a second at most."""
        thread = self._put(self._close)
        thread.join(self._patience)
        self._log_losses()

    def _put(self, item: bytes | Callable[[], None]) -> threading.Thread:
        self._queue.put(item)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="log", daemon=True)
            self._thread.start()
        return self._thread

    def _wait(self) -> None:
        """Wait until the thread has come to the end of the queue, as long as there is patience."""
        done = threading.Event()
        self._queue.put(done.set)
        began = time.monotonic()
        done.wait(self._patience)
        self._patience = max(0.0, self._patience - (time.monotonic() - began))

    def _log_losses(self) -> None:
        """Log that lines begin to be lost, or that this is over."""
        self._full = self._queue.qsize() >= (1 if self._full else _MOST_WAITING)
        reason = f"{_MOST_WAITING} lines are waiting already" if self._full else self._error
        lost = self._dropped + self._refused - self._logged
        # What this logs may come here again, so the state changes first.
        if reason and not self._losing:
            self._losing = True
            _log.error("Cannot write to {name}: {reason}; lines are lost", name=self._name, reason=reason)
        elif not reason and (lost or self._losing):
            self._losing = False
            self._logged += lost
            _log.warn("Writing to {name} works again; lines lost: {lost}", name=self._name, lost=lost)

    # In the writing thread

    def _work(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
        while not self._file.closed:
            lines: list[bytes] = []
            for _ in range(min(max(1, self._queue.qsize()), _BATCH)):
                item = self._queue.get()
                if isinstance(item, bytes):
                    lines.append(item)
                else:
                    self._write(b"".join(lines))
                    lines.clear()
                    item()
            self._write(b"".join(lines))
            if self._losing or self._error:
                IReactorFromThreads(self._reactor).callFromThread(self._log_losses)

    def _write(self, lines: bytes) -> None:
        if not lines:
            return
        data = b"\n" + lines if self._torn else lines
        done = 0
        try:
            while done < len(data):
                # Whole lines, of a size that other writers to the same pipe cannot come between (pipe(7)).
                end = data.rfind(b"\n", done, done + select.PIPE_BUF) + 1 or done + select.PIPE_BUF
                done += self._write_some(data[done:end])
        except OSError as error:
            self._error = error.strerror or str(error)
            self._refused += lines[done - len(data) :].count(b"\n")
        else:
            self._error = ""
        if done:
            self._torn = data[done - 1 : done] != b"\n"

    def _write_some(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._file.fileno(), data)
            except BlockingIOError:  # another process that has the file open made it so, for everybody
                poll = select.poll()
                poll.register(self._file, select.POLLOUT)
                poll.poll()

    def _switch(self, file: FileIO) -> None:
        self._close()
        self._file = file
        self._torn = _ends_within_a_line(file)

    def _close(self) -> None:
        try:
            self._file.close()
        except OSError as error:  # of a file system that writes late
            self._error = error.strerror or str(error)


def _ends_within_a_line(file: FileIO) -> bool:
    """Return whether a file ends in the middle of a line, as a full disk or a crash may leave it."""
    if not isinstance(file.name, str) or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return False
    try:
        with Path(file.name).open("rb") as content:
            content.seek(-1, os.SEEK_END)
            return content.read(1) != b"\n"
    except OSError:  # it is empty, or not to be read
        return False
