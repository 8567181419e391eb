"""The summary of a run as lines of text."""

from __future__ import annotations

from collections import Counter
from math import ceil

from tsserv.ping.figures import Distribution, Tally
from tsserv.ping.offset import Bounds, Offset, zone_name
from tsserv.ping.outputs.base import Summary

# Of the histogram: lines up to the 99th percentile, and the characters of the longest bar.
_STEPS = 12
_LONGEST_BAR = 50


def summary_lines(summary: Summary, *, flood_size: int | None = None, histogram: bool) -> list[str]:
    """
    Return the summary.

    :param flood_size: how many bytes a probe had, for the throughput; ``None`` if there was no load.
    :param histogram: whether the distribution of the round-trip times is part of it.
    """
    tally = summary.tally
    lines = ["", f"--- {summary.target} ---", _counts(tally, summary.seconds)]
    for count, words in [
        (tally.altered, "altered: bytes came back that had not been sent"),
        (tally.late, "late: answered after the timeout"),
        (tally.doubled, "doubled: answered more than once"),
        (tally.stray, "stray: lines that answer nothing"),
        (tally.merged, "merged: shared the stamp, and so the chunk, of the answer before"),
        (tally.split, "split: had arrived in several chunks"),
        (tally.pending, "pending: the end came before the answer"),
    ]:
        if count:
            lines.append(f"{count} {words}")
    if flood_size is not None:
        rate = tally.answered / summary.seconds
        lines.append(f"{rate:.0f} answers a second, {rate * flood_size / 1e6:.2f} MB/s each way")
    if figures := tally.rtts.figures():
        names = [name for name in figures if name != "jitter"]
        values = "/".join(f"{figures[name]:.3f}" for name in names)
        lines.append(f"rtt {'/'.join(names)} = {values} ms, jitter {figures['jitter']:.3f} ms")
        lines += _offset(summary.offset)
    if histogram:
        lines += ["", *histogram_lines(tally.rtts)]
    return lines


def _counts(tally: Tally, seconds: float) -> str:
    percent = 100 * tally.lost / max(tally.sent, 1)
    return (
        f"{tally.sent} sent, {tally.answered} answered, {tally.lost} lost ({percent:.3g} %), {seconds:.1f} s"
    )


def _offset(offset: Offset) -> list[str]:
    if offset.best is None:
        return ["offset unknown: the stamps are not of the formats ctime, iso8601 and unix"]
    best = offset.best
    meaning = "no difference can be seen"
    if abs(best.middle) > best.uncertainty:
        meaning = f"the server's clock is {'ahead' if best.middle > 0 else 'behind'}"
    lines = [f"offset {offset_text(best)}: {meaning}"]
    if offset.zone is not None:
        lines.append(
            f"its stamps are of whole seconds and name no time zone; read as {zone_name(offset.zone)}, "
            "which brings them nearest to this clock"
        )
    return lines


def histogram_lines(rtts: Distribution) -> list[str]:
    """Return round-trip times as bars: equal steps up to the 99th percentile, and what is above it."""
    if not len(rtts):
        return []
    lowest = min(rtts.counts)
    step = max(1, ceil((rtts.figures()["p99"] * 1000 - lowest) / _STEPS))  # microseconds
    counts = Counter[int]()
    for time, count in rtts.counts.items():
        counts[min((time - lowest) // step, _STEPS)] += count
    longest = max(counts.values())
    lines = []
    for number in range(max(counts) + 1):
        bar = "#" * ceil(counts[number] * _LONGEST_BAR / longest)
        sign = ">=" if number == _STEPS else "  "
        lines.append(f"{sign} {(lowest + number * step) / 1000:9.3f} ms {counts[number]:8} {bar}".rstrip())
    return lines


def offset_text(offset: Bounds) -> str:
    """Return an offset and its uncertainty, in milliseconds or seconds."""
    if max(abs(offset.middle), offset.uncertainty) < 10**9:
        return f"{offset.middle / 1e6:+.3f} ms +/- {offset.uncertainty / 1e6:.3f} ms"
    digits = 3 if offset.uncertainty >= 10**6 else 6
    return f"{offset.middle / 1e9:+.{digits}f} s +/- {offset.uncertainty / 1e9:.{digits}f} s"
