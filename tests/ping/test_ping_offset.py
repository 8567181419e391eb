"""How far the other clock is ahead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsserv.ping.offset import Bounds, Offset, zone_name
from tsserv.stamp import Stamp

SECOND = 10**9
NOW = 1795422158 * SECOND + 250_000_000  # Mon Nov 23 08:22:38 2026 UTC
HOUR = 3600 * SECOND


CLOCK = [0.0]
STAMPS = {name: Stamp(name, utc=True, clock=lambda: CLOCK[0]) for name in ("ctime", "iso8601", "unix")}


def stamp(time_format: str, nanoseconds: int) -> bytes:
    """Return the stamp of a time."""
    CLOCK[0] = nanoseconds / 1e9
    return STAMPS[time_format]()


def test_a_fast_answer_with_microseconds_says_it_to_half_its_time_and_a_microsecond() -> None:
    offset = Offset()
    bounds = offset.add(stamp("unix", NOW + 5 * SECOND), NOW - 20_000, 60_000)
    assert bounds is not None
    assert bounds.uncertainty == 31_000
    assert bounds.middle == 5 * SECOND - 10_000
    assert offset.best == bounds
    assert offset.zone is None


def test_a_stamp_of_whole_seconds_leaves_half_a_second_open() -> None:
    bounds = Offset().add(stamp("ctime", NOW), NOW - 20_000, 60_000)
    assert bounds is not None
    assert bounds.uncertainty == SECOND // 2 + 31_000
    assert bounds.middle == 250_000_000 - 10_000


@given(
    st.sampled_from(["ctime", "iso8601", "unix"]),
    st.integers(-600 * SECOND, 600 * SECOND),
    st.lists(
        st.tuples(st.integers(0, 60 * SECOND), st.integers(0, SECOND), st.integers(0, SECOND)), min_size=1
    ),
)
def test_the_true_offset_is_always_within_the_bounds(
    time_format: str, true: int, probes: list[tuple[int, int, int]]
) -> None:
    offset = Offset()
    now = NOW
    for wait, there, back in probes:
        now += wait
        bounds = offset.add(stamp(time_format, now + there + true), now, there + back)
        assert bounds is not None
        assert bounds.low <= true <= bounds.high
        assert offset.best is not None
        assert offset.best.low <= true <= offset.best.high
        assert offset.best.uncertainty <= bounds.uncertainty
        now += there + back


def test_the_best_estimate_is_from_the_fastest() -> None:
    offset = Offset()
    for rtt in (100_000_000, 40_000, 300_000_000):
        offset.add(stamp("unix", NOW), NOW - rtt // 2, rtt)
    assert offset.best is not None
    assert offset.best.uncertainty < 25_000


def test_an_old_estimate_is_worth_less() -> None:
    offset = Offset()
    offset.add(stamp("unix", NOW), NOW - 20_000, 40_000)
    later = NOW + 1000 * SECOND
    offset.add(stamp("unix", later), later - SECOND, 2 * SECOND)
    assert offset.best is not None
    assert offset.best.uncertainty == 21_000 + 14_985_000  # 15 microseconds a second


def test_a_clock_that_is_set_is_believed() -> None:
    offset = Offset()
    offset.add(stamp("unix", NOW), NOW, 1000)
    bounds = offset.add(stamp("unix", NOW + 90 * SECOND), NOW + SECOND, 1000)
    assert offset.best == bounds


@pytest.mark.parametrize(
    ("ahead", "zone", "name"),
    [
        (0, 0, "UTC+00:00"),
        (29 * 60, 0, "UTC+00:00"),
        (5.5 * 3600 + 100, 22, "UTC+05:30"),
        (5.75 * 3600 - 100, 23, "UTC+05:45"),
        (-8 * 3600 - 1000, -32, "UTC-08:00"),
        (-9.5 * 3600, -38, "UTC-09:30"),
        (40 * 3600, 56, "UTC+14:00"),
    ],
)
def test_ctime_is_read_in_the_time_zone_that_fits_best(ahead: float, zone: int, name: str) -> None:
    offset = Offset()
    bounds = offset.add(stamp("ctime", NOW + round(ahead * SECOND)), NOW, 1000)
    assert offset.zone == zone
    assert zone_name(zone) == name
    assert bounds is not None
    assert bounds.low <= ahead * SECOND - zone * HOUR // 4 <= bounds.high


def test_the_time_zone_is_chosen_once() -> None:
    offset = Offset()
    offset.add(stamp("ctime", NOW), NOW, 1000)
    bounds = offset.add(stamp("ctime", NOW + HOUR), NOW, 1000)
    assert bounds is not None
    assert bounds.low > 3000 * SECOND


def test_a_stamp_that_cannot_be_read_says_nothing() -> None:
    offset = Offset()
    assert offset.add(b"[08:22] ", NOW, 1000) is None
    assert offset.best is None


def test_bounds_are_an_estimate_and_how_far_it_may_be_off() -> None:
    assert (Bounds(-3, 8).middle, Bounds(-3, 8).uncertainty) == (2, 6)
