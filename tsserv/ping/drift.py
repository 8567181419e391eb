"""
The offset of a clock that drifts, from bounds measured at different times.

The model: the offset grows at a constant rate of at most 500 ppm, and the rate may vary by at most 15 ppm.
All pairs of offset and rate that agree with the measurements form a convex polygon.  As time passes it is
sheared and widened, and each measurement cuts it.  Its extent gives the bounds of both.
"""

from __future__ import annotations

from math import ceil, floor
from typing import NamedTuple

# The largest frequency error that Linux corrects: MAXFREQ in include/linux/timex.h.
_RATE = 500_000  # nanoseconds in a second

# How much the rate may vary: PHI in RFC 5905, section 7.1.
_WANDER = 15_000  # nanoseconds in a second


def most_drift(elapsed: int) -> int:
    """Return how much an offset can change at most, in nanoseconds, in a number of nanoseconds."""
    return elapsed * (_RATE + _WANDER) // 10**9 + 1


class Bounds(NamedTuple):
    """A value is at least ``low`` and at most ``high``: an offset in nanoseconds, or a rate in ppb."""

    low: int
    high: int

    @property
    def middle(self) -> int:
        """The estimate."""
        return (self.low + self.high) // 2

    @property
    def uncertainty(self) -> int:
        """The largest possible error of the estimate."""
        return (self.high - self.low + 1) // 2


class _Corner(NamedTuple):
    """A corner of the polygon: a rate in nanoseconds per second, and an offset relative to ``_base``."""

    rate: float
    offset: float


class DriftingOffset:
    """
    The offset at the time of the last measurement, and the rate at which it changes.

    :param bounds: the first measurement.
    :param at: its time, in nanoseconds.
    """

    def __init__(self, bounds: Bounds, at: int) -> None:
        self._at = at
        self._base = bounds.low  # keeps floating-point numbers small
        # At first a rectangle.  Later there are about ten: new cuts remove as many corners as they make.
        height = bounds.high - bounds.low
        self._corners = _hull([_Corner(rate, offset) for rate in (-_RATE, _RATE) for offset in (0, height)])

    @property
    def offset(self) -> Bounds:
        """The bounds of the offset, in nanoseconds."""
        offsets = [corner.offset for corner in self._corners]
        return Bounds(self._base + floor(min(offsets)), self._base + ceil(max(offsets)))

    @property
    def rate(self) -> Bounds:
        """The bounds of the rate, in nanoseconds per second (ppb)."""
        rates = [corner.rate for corner in self._corners]
        return Bounds(floor(min(rates)), ceil(max(rates)))

    def measure(self, bounds: Bounds, at: int) -> bool:
        """
        Take a measurement into account.

        :param at: its time, which is not before that of the previous one.
        :return: ``False`` if it contradicts the previous ones; this object is then of no more use.
        """
        elapsed = (at - self._at) / 1e9
        self._at = at
        wander = _WANDER * elapsed
        corners = _hull(
            [
                _Corner(rate, offset + rate * elapsed + sign * wander)
                for rate, offset in self._corners
                for sign in (-1, 1)
            ]
        )
        corners = _cut(corners, bounds.low - self._base, 1)
        self._corners = _hull(_cut(corners, bounds.high - self._base, -1))
        return bool(self._corners)


def _hull(points: list[_Corner]) -> list[_Corner]:
    """Return the corners of the convex hull, in order (Andrew's monotone chain)."""
    points = sorted(set(points))
    if len(points) < 3:
        return points

    def chain(points: list[_Corner]) -> list[_Corner]:
        corners: list[_Corner] = []
        for point in points:
            while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
                corners.pop()
            corners.append(point)
        return corners[:-1]

    return chain(points) + chain(points[::-1])


def _turn(a: _Corner, b: _Corner, c: _Corner) -> float:
    return (b.rate - a.rate) * (c.offset - a.offset) - (b.offset - a.offset) * (c.rate - a.rate)


def _cut(corners: list[_Corner], limit: float, sign: int) -> list[_Corner]:
    """Return what is left of a polygon where ``sign * (offset - limit)`` is not negative."""
    left = []
    for before, corner in zip(corners[-1:] + corners[:-1], corners, strict=True):
        height, height_before = sign * (corner.offset - limit), sign * (before.offset - limit)
        if height * height_before < 0:
            share = height_before / (height_before - height)
            left.append(_Corner(before.rate + share * (corner.rate - before.rate), limit))
        if height >= 0:
            left.append(corner)
    return left
