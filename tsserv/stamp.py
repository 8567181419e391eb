"""The time as bytes: what stands before each answer."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stamp:
    """
    The current time as ``[Mon Nov 23 08:22:38 2026] ``, in the server's time zone.

    The text is that of C's ``ctime`` without its newline: 27 bytes with the brackets and the space
    for every year of four digits, in English whatever the locale.

    :param clock: returns the time in seconds since 1970-01-01 00:00 UTC.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second: int | None = None
        self._text = b""

    def __call__(self) -> bytes:
        """Return the stamp of now; the text is formatted anew only when the second has changed."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._text = b"[%s] " % time.ctime(second).encode("ascii")
        return self._text
