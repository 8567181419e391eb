"""The time as bytes: the stamp before each answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

# A pattern may have any length, and what the service may hold for a client grows with the stamp.
_LONGEST = 256  # bytes

# In so many days every month, weekday and length of a number occurs.
_DAYS_TRIED = 366


class Stamp:
    """
    The current time in brackets, with a space after them: ``[Mon Nov 23 08:22:38 2026] ``.

    :param time_format: ``ctime``: as C's ``ctime`` without its newline, so that the stamp has 27 bytes,
        in English whatever the locale; ``iso8601``: with microseconds and the offset from UTC;
        ``unix``: seconds since 1970-01-01 00:00 UTC, with microseconds; or a pattern for ``strftime``
        with a ``%`` in it.
    :param utc: whether the time is in UTC, not in the server's time zone.
    :param clock: returns the time in seconds since 1970-01-01 00:00 UTC.
    :raises ValueError: if ``time_format`` is none of these, or gives nothing, a newline, ``]``, what cannot
        be encoded in UTF-8, or a stamp of more than 256 bytes.
    """

    def __init__(
        self, time_format: str = "ctime", *, utc: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._format = _formatter(time_format, timezone.utc if utc else None)
        #: The length of the longest stamp, in bytes.
        self.longest = max(len(self._stamp(clock() + 86400.0 * day)) for day in range(_DAYS_TRIED))
        if self.longest > _LONGEST:
            raise ValueError(f"gives a stamp of {self.longest} bytes; {_LONGEST} is the most")
        # A stamp that stays the same for a second is formatted once a second.
        self._whole_seconds = self._format(0.0) == self._format(0.5)
        self._since = self._until = 0.0  # when the text is valid
        self._text = b""

    def __call__(self) -> bytes:
        """Return the stamp of now."""
        now = self._clock()
        if self._since <= now < self._until:
            return self._text
        text = self._stamp(now)
        if self._whole_seconds:
            self._text = text
            self._since = now // 1
            self._until = self._since + 1
        return text

    def _stamp(self, seconds: float) -> bytes:
        try:
            text = self._format(seconds)
            stamp = f"[{text}] ".encode()
        except UnicodeEncodeError:
            raise ValueError("cannot be encoded in UTF-8") from None
        if not text:  # strftime gives up where a width is too large: %9000d
            raise ValueError("gives nothing")
        if "\n" in text or "]" in text:
            raise ValueError(f"gives {text!r}; a stamp holds no newline and no ']'")
        return stamp


def _formatter(time_format: str, zone: timezone | None) -> Callable[[float], str]:
    """Return a function that formats seconds since 1970; ``None`` for ``zone`` is the server's time zone."""

    def moment(seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, timezone.utc).astimezone(zone)

    if time_format == "ctime":
        return lambda seconds: moment(seconds).ctime()
    if time_format == "iso8601":
        return lambda seconds: moment(seconds).isoformat(timespec="microseconds")
    if time_format == "unix":
        return lambda seconds: f"{seconds:.6f}"
    if "%" in time_format:
        return lambda seconds: moment(seconds).strftime(time_format)
    raise ValueError("not ctime, iso8601, unix or a pattern with a % in it")
