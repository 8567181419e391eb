"""The time as bytes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsserv.ping.reading import Reading, read
from tsserv.stamp import Stamp

MOMENT = 1795422158.25  # Mon Nov 23 08:22:38 2026 UTC


@pytest.fixture
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the process three and a half hours east of UTC."""
    monkeypatch.setenv("TZ", "XYZ-03:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    ("time_format", "local", "utc"),
    [
        ("ctime", b"[Mon Nov 23 11:52:38 2026] ", b"[Mon Nov 23 08:22:38 2026] "),
        ("iso8601", b"[2026-11-23T11:52:38.250000+03:30] ", b"[2026-11-23T08:22:38.250000+00:00] "),
        ("unix", b"[1795422158.250000] ", b"[1795422158.250000] "),
        ("%H.%M", b"[11.52] ", b"[08.22] "),
        ("%d/%m %f %z %Z", b"[23/11 250000 +0330 XYZ] ", b"[23/11 250000 +0000 UTC] "),
        ("\u00e4 %Y", "[\u00e4 2026] ".encode(), "[\u00e4 2026] ".encode()),
    ],
)
def test_formats_in_local_time_and_utc(time_format: str, local: bytes, utc: bytes) -> None:
    assert Stamp(time_format, clock=lambda: MOMENT)() == local
    assert Stamp(time_format, utc=True, clock=lambda: MOMENT)() == utc


@pytest.mark.parametrize(
    ("time_format", "message"),
    [
        ("", "not ctime, iso8601, unix or a pattern with a % in it"),
        ("CTIME", "not ctime, iso8601, unix or a pattern with a % in it"),
        ("%H%n%M", "a stamp holds no newline and no ']'"),
        ("%H\n", "a stamp holds no newline and no ']'"),
        ("%H]", "a stamp holds no newline and no ']'"),
        ("%H \udcff", "cannot be encoded in UTF-8"),
        ("%H" * 200, "gives a stamp of 403 bytes; 256 is the most"),
    ],
)
def test_bad_formats_are_refused(time_format: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Stamp(time_format)


def test_ctime_is_what_c_gives() -> None:
    for day in range(0, 40 * 365, 3):
        second = day * 86401
        stamp = Stamp(clock=lambda second=second: float(second))  # type: ignore[misc]
        assert stamp() == f"[{time.ctime(second)}] ".encode()
        assert len(stamp()) == stamp.longest == 27


def test_the_longest_stamp_of_a_year_is_known() -> None:
    assert Stamp("%A %B", clock=lambda: MOMENT).longest == len("[Wednesday September] ")


@pytest.mark.parametrize("time_format", ["ctime", "%H:%M:%S"])
def test_a_stamp_of_whole_seconds_is_formatted_once_in_a_second(time_format: str) -> None:
    now = [100.0]
    stamp = Stamp(time_format, clock=lambda: now[0])
    first = stamp()
    now[0] = 100.999
    assert stamp() is first
    now[0] = 101.0
    assert stamp() != first
    now[0] = 100.5  # a clock may be set back
    assert stamp() == first


def test_microseconds_are_those_of_now() -> None:
    now = [100.5]
    stamps = {name: Stamp(name, utc=True, clock=lambda: now[0]) for name in ("iso8601", "unix", "%S.%f")}
    assert [stamp() for stamp in stamps.values()] == [
        b"[1970-01-01T00:01:40.500000+00:00] ",
        b"[100.500000] ",
        b"[40.500000] ",
    ]
    now[0] = 100.000001
    assert [stamp() for stamp in stamps.values()] == [
        b"[1970-01-01T00:01:40.000001+00:00] ",
        b"[100.000001] ",
        b"[40.000001] ",
    ]


def test_takes_the_system_clock_by_default() -> None:
    before = datetime.now(timezone.utc)
    text = Stamp("iso8601")().decode().strip("[] ")
    assert timedelta(0) <= datetime.fromisoformat(text) - before < timedelta(seconds=60)


@pytest.mark.parametrize("time_format", ["ctime", "iso8601", "unix"])
def test_what_is_read_is_what_was_written(time_format: str) -> None:
    now = [0.0]
    stamp = Stamp(time_format, utc=True, clock=lambda: now[0])

    @given(st.floats(0, 2**35))
    def check(moment: float) -> None:
        now[0] = moment
        reading = read(stamp())
        assert reading is not None
        assert reading.earliest <= Fraction(moment) * 10**9 <= reading.latest
        assert reading.latest - reading.earliest == (1_000_002_000 if time_format == "ctime" else 2000)

    check()


@pytest.mark.usefixtures("_zone")
def test_only_ctime_is_read_without_its_time_zone() -> None:
    readings = {name: read(Stamp(name, clock=lambda: MOMENT)()) for name in ("ctime", "iso8601", "unix")}
    exactly = Reading(1795422158249999000, 1795422158250001000, zoned=True)
    assert readings["iso8601"] == readings["unix"] == exactly
    assert readings["ctime"] == Reading(1795434757999999000, 1795434759000001000, zoned=False)


@pytest.mark.parametrize(
    "stamp",
    [
        b"[] ",
        b"[08:22:38] ",
        b"[Mon Nov 31 08:22:38 2026] ",
        b"[Mon Nov 23 08:22:38] ",
        b"[2026-11-23] ",
        b"[2026-11-23T08:22:38+00:00] ",
        b"[2026-13-23T08:22:38.250000+00:00] ",
        b"[2026-11-23T08:22:38.250000+99:00] ",
        b"[1795422158] ",
        b"[1795422158.25] ",
        b"[nan] ",
        b"[-1.000000] ",
        b"[\xff\xfe] ",
        "[\u0661\u0662.\u0660\u0660\u0660\u0660\u0660\u0660] ".encode(),
    ],
)
def test_what_is_no_time_of_these_formats_is_not_read(stamp: bytes) -> None:
    assert read(stamp) is None
