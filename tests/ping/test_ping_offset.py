"""How far the other clock is ahead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsserv.ping.drift import Bounds, DriftingOffset, most_drift
from tsserv.ping.offset import Measurement, Offset, zone_name
from tsserv.ping.way import Way
from tsserv.stamp import Stamp

SECOND = 10**9
NOW = 1795422158 * SECOND + 250_000_000  # Mon Nov 23 08:22:38 2026 UTC
HOUR = 3600 * SECOND


def measure(offset: Offset, stamp: bytes, sent: int, rtt: int) -> Measurement:
    """Take one answer into account, and return what it says."""
    bounds = offset.add(stamp, sent, rtt)
    assert bounds is not None
    return offset.measurement(bounds, rtt)


CLOCK = [0.0]
STAMPS = {name: Stamp(name, utc=True, clock=lambda: CLOCK[0]) for name in ("ctime", "iso8601", "unix")}


def stamp(time_format: str, nanoseconds: int) -> bytes:
    """Return the stamp of a time."""
    CLOCK[0] = nanoseconds / 1e9
    return STAMPS[time_format]()


def test_a_fast_answer_with_microseconds_says_it_to_half_its_time_and_a_microsecond() -> None:
    offset = Offset()
    measurement = measure(offset, stamp("unix", NOW + 5 * SECOND), NOW - 20_000, 60_000)
    assert measurement.offset.uncertainty == 31_000
    assert measurement.offset.middle == 5 * SECOND - 10_000
    assert offset.best == measurement.offset
    assert offset.zone is None


def test_a_stamp_of_whole_seconds_leaves_half_a_second_open() -> None:
    measurement = measure(Offset(), stamp("ctime", NOW), NOW - 20_000, 60_000)
    bounds = measurement.offset
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
        measurement = measure(offset, stamp(time_format, now + there + true), now, there + back)
        bounds = measurement.offset
        assert bounds.low <= true <= bounds.high
        assert measurement.best.low <= true <= measurement.best.high
        assert measurement.there.low <= there <= measurement.there.high
        assert measurement.back.low <= back <= measurement.back.high
        assert offset.best is not None
        assert offset.best.low <= true <= offset.best.high
        assert offset.best.uncertainty <= bounds.uncertainty
        now += there + back


def test_the_best_estimate_is_from_the_fastest() -> None:
    offset = Offset()
    for rtt in (10_000_000, 40_000, 30_000_000):
        offset.add(stamp("unix", NOW), NOW - rtt // 2, rtt)
    assert offset.best is not None
    assert offset.best.uncertainty < 21_000 + most_drift(20_000_000)


def test_an_old_estimate_is_worth_less() -> None:
    offset = Offset()
    offset.add(stamp("unix", NOW), NOW - 20_000, 40_000)
    later = NOW + 1000 * SECOND
    offset.add(stamp("unix", later), later - 2 * SECOND, 4 * SECOND)
    assert offset.best is not None
    # The clock may have gained or lost 515 ppm since.
    assert offset.best.uncertainty == pytest.approx(1000 * 515_000 + 21_000, rel=0.01)


def test_a_clock_that_is_set_is_believed() -> None:
    offset = Offset()
    offset.add(stamp("unix", NOW), NOW, 1000)
    measurement = measure(offset, stamp("unix", NOW + 90 * SECOND), NOW + SECOND, 1000)
    assert offset.best == measurement.offset


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
    measurement = measure(offset, stamp("ctime", NOW + round(ahead * SECOND)), NOW, 1000)
    assert offset.zone == zone
    assert zone_name(zone) == name
    bounds = measurement.offset
    assert bounds.low <= ahead * SECOND - zone * HOUR // 4 <= bounds.high


def test_the_time_zone_is_chosen_once() -> None:
    offset = Offset()
    offset.add(stamp("ctime", NOW), NOW, 1000)
    measurement = measure(offset, stamp("ctime", NOW + HOUR), NOW, 1000)
    assert measurement.offset.low > 3000 * SECOND


def test_a_stamp_that_cannot_be_read_says_nothing() -> None:
    offset = Offset()
    assert offset.add(b"[08:22] ", NOW, 1000) is None
    assert offset.best is None


def test_bounds_are_an_estimate_and_how_far_it_may_be_off() -> None:
    assert (Bounds(-3, 8).middle, Bounds(-3, 8).uncertainty) == (2, 6)


@given(
    st.integers(-500, 500),
    st.integers(-(10**13), 10**13),
    st.lists(
        st.tuples(
            st.sampled_from([0, SECOND // 1000, SECOND, 60 * SECOND]),
            st.integers(-15, 15),
            st.integers(0, SECOND // 100),
            st.integers(0, SECOND // 100),
        ),
        min_size=1,
        max_size=50,
    ),
)
def test_a_clock_that_drifts_and_wanders_is_within_the_bounds(
    ppm: int, offset: int, steps: list[tuple[int, int, int, int]]
) -> None:
    true, now = offset, 0
    drifting = None
    for pause, wander, below, above in steps:
        now += pause
        true += pause * (ppm + wander) // 10**6
        bounds = Bounds(true - below - 10, true + above + 10)  # each step rounds, by less than one
        if drifting is None:
            drifting = DriftingOffset(bounds, now)
        else:
            assert drifting.measure(bounds, now)
        assert drifting.offset.low - 50 <= true <= drifting.offset.high + 50
        assert drifting.rate.low - 1 <= ppm * 1000 <= drifting.rate.high + 1


def test_a_drift_is_told_after_some_time() -> None:
    offset = Offset()
    for second in range(101):
        now = NOW + second * SECOND
        offset.add(stamp("unix", now + second * 200_000), now - 200_000, 400_000)
    assert offset.drift is not None
    assert abs(offset.drift.middle - 200_000) <= offset.drift.uncertainty < 20_000
    assert offset.best is not None
    assert offset.best.low <= 100 * 200_000 <= offset.best.high
    assert offset.best.uncertainty < 202_000


def test_answers_in_a_flood_and_out_of_order_keep_the_best_bounds() -> None:
    offset = Offset()
    assert offset.drift is None
    offset.add(stamp("unix", NOW), NOW - 20_000, 40_000)
    best = offset.best
    measurement = measure(offset, stamp("unix", NOW + 1_000_000), NOW + 500_000, 1_000_000)
    assert offset.best == best
    assert measurement.there.low <= 500_000 <= measurement.there.high
    assert measurement.there.uncertainty < 30_000
    offset.add(stamp("unix", NOW), NOW - 20_000, 39_000)
    assert offset.best is not None
    assert offset.best.uncertainty <= 20_600


def test_delays_are_told_from_what_cannot_be_known() -> None:
    way = Way()
    assert way.statistics() == {}
    for low, high in [(10, 30), (12, 32), (100, 120), (15, 25), (26, 28), (60, 90)]:
        way.add(Bounds(low * 10**6, high * 10**6))
    assert way.delayed == 3
    assert way.longest_delay == Bounds((100 - 30) * 10**6, (120 - 10) * 10**6)
    assert way.statistics() == {"min": 20, "mean": pytest.approx(274 / 6), "max": 110}


@settings(max_examples=50)
@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from([0, 50, -200]),
    st.sampled_from([SECOND // 10_000, SECOND // 25]),
    st.floats(0, 1),
)
def test_aimed_probes_find_the_edge_of_the_second(true: int, ppm: int, rtt: int, share: float) -> None:
    offset = Offset()
    due = NOW
    for _ in range(13):
        sent = offset.aim(due, SECOND // 2)
        assert abs(sent - due) <= SECOND // 2
        there = round(rtt * share)
        now_true = true + (sent - NOW) * ppm // 10**6
        offset.add(stamp("ctime", sent + there + now_true), sent, rtt)
        due += SECOND
    assert offset.best is not None
    assert offset.zone is not None
    now_true -= offset.zone * HOUR // 4
    assert offset.best.low <= now_true <= offset.best.high
    assert offset.best.uncertainty <= rtt // 2 + SECOND // 1000


def test_a_probe_is_not_aimed_without_need_or_out_of_reach() -> None:
    offset = Offset()
    assert offset.aim(NOW, SECOND) == NOW
    offset.add(stamp("unix", NOW), NOW, 1000)
    assert offset.aim(NOW, SECOND) == NOW
    offset = Offset()
    offset.add(stamp("ctime", NOW), NOW, 1000)
    assert 0 < abs(offset.aim(NOW, SECOND // 2) - NOW) <= SECOND // 2
    assert offset.aim(NOW, 1000) == NOW
