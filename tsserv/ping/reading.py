"""The time that a stamp tells."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple


class Reading(NamedTuple):
    """The time that a stamp tells: it was between two instants, in nanoseconds since 1970 UTC."""

    earliest: int
    latest: int
    #: Whether the stamp names its time zone.  ``ctime`` does not, and is read as UTC.
    zoned: bool


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_ISO8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d(:\d\d(\.\d{6})?)?", re.ASCII)
_UNIX = re.compile(r"(\d{1,12})\.(\d{6})", re.ASCII)


def read(stamp: bytes) -> Reading | None:
    """
    Read a stamp of the format ``ctime``, ``iso8601`` or ``unix``.

    :param stamp: with its brackets and space.
    :return: ``None`` if it has another format, or is not a time.
    """
    text = stamp[1:-2].decode(errors="replace")
    seconds = 0  # how long the stamp stays the same
    try:
        if match := _UNIX.fullmatch(text):
            microseconds = int(match[1] + match[2])
        elif _ISO8601.fullmatch(text):
            microseconds = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
        else:
            moment = datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc)
            microseconds = (moment - _EPOCH) // _MICROSECOND
            seconds = 1
    except ValueError:
        return None
    # A microsecond either way, since microseconds are rounded.
    return Reading((microseconds - 1) * 1000, (microseconds + 1) * 1000 + seconds * 10**9, zoned=seconds == 0)
