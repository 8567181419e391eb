"""The file of a UNIX socket: taken over from a dead service, never from a living one."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twisted.logger import Logger

_log = Logger("tsserv")

# How long to wait for the directory, in seconds, and how often to try.
_PATIENCE = 1.0
_TRIES = 100


class SocketFile:
    """
    The file of a UNIX socket.

    A service is alive if the socket accepts connections.  The pid in Twisted's lock file is no proof: after a
    crash another process may have it, and in containers every service has the same.

    :param path: where it is.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._bound: tuple[int, int] | None = None

    @contextmanager
    def taken_over(self) -> Iterator[None]:
        """Remove the socket of a dead service; the new one is bound, and listens, within the context."""
        with _locked(self._path.parent):
            if _is_dead(self._path):
                self._path.unlink()
            yield
            self._bound = self._identity()

    def remove(self) -> None:
        """Remove the file, if it is still the one that was bound, and not that of a successor."""
        try:
            if self._identity() == self._bound:
                self._path.unlink()
        except OSError as error:
            _log.warn("Cannot remove {path}: {error}", path=self._path, error=error.strerror)

    def _identity(self) -> tuple[int, int] | None:
        """Return device and inode of the file, which are not used again while the socket is open."""
        with suppress(FileNotFoundError):
            status = self._path.lstat()
            return status.st_dev, status.st_ino
        return None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """
    Let one service at a time look for a socket and bind its own.

    Otherwise another service could see the new socket before it listens, and take it for a dead one.  Every
    process that may read the directory may hold the lock, so the wait for it is bounded.
    """
    try:
        fd = os.open(directory, os.O_RDONLY)
    except OSError:  # a directory may be writable and not readable; if it is missing, bind() says so
        yield
        return
    try:
        for _ in range(_TRIES):
            with suppress(OSError):  # held, or not supported by the file system
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_PATIENCE / _TRIES)
        yield
    finally:
        os.close(fd)


def _is_dead(path: Path) -> bool:
    """Return whether the file is a socket to which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)  # if its queue is full, it is alive
            client.connect(str(path))
    except ConnectionRefusedError:
        return True
    except OSError:  # there is no file, or it cannot be known: bind() decides
        pass
    return False
