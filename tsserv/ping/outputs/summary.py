"""The summary of a run as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil

from tsserv.ping.counts import Counts
from tsserv.ping.distribution import Distribution
from tsserv.ping.drift import Bounds
from tsserv.ping.offset import Measurement, Offset, zone_name
from tsserv.ping.outputs.base import Summary
from tsserv.ping.way import Way

# The histogram's number of lines up to the 99th percentile, and the width of its longest bar.
_STEPS = 12
_LONGEST_BAR = 50
_BESIDE_BAR = 26  # columns

# The columns of the table of several targets, and their indices from the most important to the least.
_HEADS = ("sent", "lost %", "min", "mean", "max", "offset")
_BY_WORTH = (0, 1, 3, 5, 4, 2)

# A drift is shown once its uncertainty is below this, in ppb.
_VAGUE_DRIFT = 100_000


def summary_lines(summary: Summary, *, flood_size: int | None = None) -> list[str]:
    """
    Return the summary.

    :param flood_size: the size of a probe in bytes, for the throughput of a flood; ``None`` otherwise.
    """
    counts = summary.counts
    lines = ["", f"--- {summary.target} ---", _counts(counts, summary.seconds)]
    for count, text in [
        (counts.altered, "altered: answered with other bytes than were sent"),
        (counts.late, "late: answered after the timeout"),
        (counts.doubled, "doubled: answered more than once"),
        (counts.stray, "stray: lines that answer no probe"),
        (counts.merged, "merged: arrived at the server in the same chunk as the probe before"),
        (counts.split, "split: arrived at the server in several chunks"),
        (counts.pending, "pending: not yet answered at the end"),
    ]:
        if count:
            lines.append(f"{count} {text}")
    if counts.outages:
        noun = "outage" if counts.outages == 1 else "outages"
        lines.append(f"{counts.outages} {noun}: the service was away for {counts.away:.1f} s")
    if flood_size is not None:
        rate = counts.answered / summary.seconds
        lines.append(f"{rate:.0f} answers a second, {rate * flood_size / 1e6:.2f} MB/s each way")
    if statistics := counts.rtts.statistics():
        lines += _rtts(statistics)
        if kernel := counts.kernel:
            lines.append(
                f"kernel: rtt {kernel.rtt / 1e6:.3f} ms, {counts.retransmits} retransmits, "
                f"congestion window {kernel.window}"
            )
        lines += _ways(counts, summary.offset)
        lines += _offset(summary.offset)
    return lines


def table_lines(summaries: Sequence[Summary], columns: int = 80) -> list[str]:
    """
    Return a table with a row for each target: probes, loss, round-trip times in milliseconds, offset.

    A name for which there is no room has a line of its own.

    :param columns: the width of a line; what has no room is left out.
    """
    names = ["", *(str(summary.target) for summary in summaries)]
    rows = [_HEADS, *map(_cells, summaries)]
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    shown = []
    room = columns
    for index in _BY_WORTH:
        if widths[index] <= room:
            shown.append(index)
            room -= widths[index]
    beside = max(len(name) for name in names if len(name) <= room)
    lines = [""]
    for name, row in zip(names, rows, strict=True):
        if len(name) > beside:
            lines.append(name)
            name = ""
        lines.append(
            f"{name:{beside}}" + "".join(f"{row[index]:>{widths[index]}}" for index in sorted(shown))
        )
    return lines


def _cells(summary: Summary) -> tuple[str, ...]:
    counts = summary.counts
    statistics = counts.rtts.statistics()
    best = summary.offset.best
    return (
        str(counts.sent),
        f"{100 * counts.lost / max(counts.sent, 1):.3g}",
        *(f"{statistics[name]:.3f}" if statistics else "-" for name in ("min", "mean", "max")),
        "-" if best is None else offset_text(best),
    )


def _counts(counts: Counts, seconds: float) -> str:
    percent = 100 * counts.lost / max(counts.sent, 1)
    lost = f"{counts.lost} lost ({percent:.3g} %)"
    return f"{counts.sent} sent, {counts.answered} answered, {lost}, {seconds:.1f} s"


def _rtts(statistics: dict[str, float]) -> list[str]:
    names = list(statistics)
    lines = []
    for title, part in (("rtt", names[:4]), ("   ", names[4:])):
        values = "/".join(f"{statistics[name]:.3f}" for name in part)
        lines.append(f"{title} {'/'.join(part)} = {values} ms")
    return lines


def _ways(counts: Counts, offset: Offset) -> list[str]:
    lines: list[str] = []
    if offset.zone is not None:  # whole seconds do not tell the ways apart
        return lines
    for name, way in (("there", counts.there), ("back", counts.back)):
        if statistics := way.statistics():
            values = f"{statistics['mean']:.3f}/{statistics['max']:.3f}"
            lines.append(f"{name} mean/max = {values} ms; {_delays(way)}")
    return lines


def _delays(way: Way) -> str:
    if way.longest_delay is None:
        return "no delay can be seen"
    longest, uncertainty = way.longest_delay.middle / 1e6, way.longest_delay.uncertainty / 1e6
    return f"{way.delayed} delayed by up to {longest:.3f} +/- {uncertainty:.3f} ms"


def _offset(offset: Offset) -> list[str]:
    if offset.best is None:
        return ["offset unknown: the format of the stamps is none of ctime, iso8601 and unix"]
    best = offset.best
    meaning = "no difference can be seen"
    if abs(best.middle) > best.uncertainty:
        meaning = f"the server's clock is {'ahead' if best.middle > 0 else 'behind'}"
    lines = [f"offset {offset_text(best)}: {meaning}"]
    if offset.drift is not None and offset.drift.uncertainty < _VAGUE_DRIFT:
        drift, uncertainty = offset.drift.middle / 1e3, offset.drift.uncertainty / 1e3
        lines.append(f"drift {drift:+.1f} ppm +/- {uncertainty:.1f} ppm")
    if offset.zone is not None:
        lines.append(
            f"(whole seconds; time zone {zone_name(offset.zone)} assumed, as it gives the smallest offset)"
        )
    return lines


def histogram_lines(rtts: Distribution, columns: int = 80) -> list[str]:
    """Return a histogram: equal steps up to the 99th percentile, and one line for what is above it."""
    longest_bar = max(min(_LONGEST_BAR, columns - _BESIDE_BAR), 1)
    if not len(rtts):
        return []
    lowest = min(rtts.buckets)
    step = max(1, ceil((rtts.percentile(99) * 1000 - lowest) / _STEPS))  # microseconds
    bins = Counter[int]()
    for time, count in rtts.buckets.items():
        bins[min((time - lowest) // step, _STEPS)] += count
    longest = max(bins.values())
    lines = []
    for number in range(max(bins) + 1):
        bar = "#" * ceil(bins[number] * longest_bar / longest)
        sign = ">=" if number == _STEPS else "  "
        lines.append(f"{sign} {(lowest + number * step) / 1000:9.3f} ms {bins[number]:8} {bar}".rstrip())
    return lines


def measurement_text(measurement: Measurement) -> str:
    """Return how long each way took; or the best offset, if the stamps are too coarse to tell."""
    if not measurement.fine:
        return f"offset={offset_text(measurement.best)}"
    there, back = measurement.there, measurement.back
    uncertainty = f"{there.uncertainty / 1e6:.3f}"
    return f"there={there.middle / 1e6:.3f} back={back.middle / 1e6:.3f} +/- {uncertainty} ms"


def offset_text(offset: Bounds) -> str:
    """Return an offset with its uncertainty, in milliseconds or seconds."""
    if max(abs(offset.middle), offset.uncertainty) < 10**9:
        return f"{offset.middle / 1e6:+.3f} ms +/- {offset.uncertainty / 1e6:.3f} ms"
    digits = 3 if offset.uncertainty >= 10**6 else 6
    return f"{offset.middle / 1e9:+.{digits}f} s +/- {offset.uncertainty / 1e9:.{digits}f} s"
