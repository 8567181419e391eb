"""Charts of the results: SVG that is the same for the same results."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from catalog import BASELINE
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from results import Result, number, quartiles

# A chart with its own background is readable on light and on dark pages.
_STYLE: Any = {
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "tsserv",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_BASELINE_COLOUR, _COLOUR, _SPREAD_COLOUR = "#1f6feb", "#a3adb8", "#24292f"
_LINES = (
    *("#57606a", _BASELINE_COLOUR, "#54aeff", "#1a7f37", "#bf3989", "#e16f24", "#8250df", "#9a6700"),
    *("#cf222e", "#1b7c83", "#0a3069"),
)

#: Bar charts: the file, its measure and figures, and a part of the names of the loads that it shows.
_BARS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("message", "messages", ("cpu",), "50 connections, 32 bytes"),
    ("cpu", "messages", ("cpu",), ""),
    ("rate", "messages", ("rate",), ""),
    ("latency", "messages", ("p50", "p99", "p99.9"), "50 connections, 32 bytes"),
    ("lines", "lines", ("cpu",), ""),
    ("transfer", "transfer", ("cpu",), ""),
    ("memory", "memory", ("bytes",), ""),
    ("churn", "churn", ("cpu",), ""),
    ("burst", "burst", ("connected", "answered"), ""),
    ("lag", "lag", ("p50", "most"), ""),
    ("stall", "stall", ("most",), ""),
    ("start", "start", ("start", "cpu", "bytes"), ""),
    ("tls-messages", "tls-messages", ("cpu",), ""),
    ("tls-churn", "tls-churn", ("cpu",), ""),
    ("tls-memory", "tls-memory", ("bytes",), ""),
    ("tls-transfer", "tls-transfer", ("cpu",), ""),
)


def draw(found: Sequence[Result], caption: str, folder: Path) -> None:
    """
    Write the charts of everything in ``found``.

    :param caption: the small print of each chart.
    :param folder: the directory of the charts.
    """
    with matplotlib.rc_context(_STYLE):
        for name, measure, figures, point in _BARS:
            panels: dict[tuple[str, str], list[Result]] = {}
            for result in found:
                if result.measure == measure and result.figure.name in figures and point in result.point:
                    panels.setdefault((result.figure.title, result.point), []).append(result)
            if panels:
                _save(_bars(list(panels.values())), caption, folder / f"{name}.svg")
        growth = [result for result in found if result.measure == "growth"]
        if growth:
            _save(_growth(growth), caption, folder / "growth.svg")


def _save(canvas: Canvas, caption: str, path: Path) -> None:
    lines = "\n".join(textwrap.fill(line, 140) for line in caption.splitlines())
    canvas.text(0.01, 0.01, lines, fontsize=7, color="#57606a", va="bottom")
    canvas.savefig(path, metadata={"Date": None})


def _canvas(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Canvas, list[Any]]:
    """Return a canvas of so many inches with room for the caption, and its panels."""
    # The space on the left is for fonts that are wider than the one used here.
    layout = ConstrainedLayoutEngine(rect=(0.02, 0.5 / height, 0.98, 1 - 0.5 / height))
    canvas = Canvas(figsize=(width, height), layout=layout)
    return canvas, list(canvas.subplots(rows, columns, squeeze=False).flat)


def _bars(panels: Sequence[Sequence[Result]]) -> Canvas:
    """Draw a bar for each server: its figure as a multiple of tsserv's, with the quartiles as a thin line."""
    columns = 3 if len(panels) % 3 == 0 else min(2, len(panels))
    rows = -(-len(panels) // columns)
    canvas, axes = _canvas(9, 0.6 + rows * (0.6 + 0.26 * len(panels[0])), columns, rows)
    for axis, panel in zip(axes, panels, strict=True):
        title = textwrap.fill(panel[0].figure.title, 96 // columns)
        axis.set_title(f"{title}\n{panel[0].point}", fontsize=9)
        bars = axis.barh(
            [result.server for result in panel],
            [result.ratio for result in panel],
            xerr=_spread([(result.ratio, result.ratios()) for result in panel]),
            color=[_BASELINE_COLOUR if result.server == BASELINE else _COLOUR for result in panel],
            error_kw={"elinewidth": 1, "ecolor": _SPREAD_COLOUR},
        )
        axis.bar_label(bars, [str(result) for result in panel], padding=3, fontsize=8)
        axis.margins(x=0.75 if columns > 1 else 0.2)
        axis.invert_yaxis()
        axis.tick_params(left=False)
    for place, axis in enumerate(axes):
        if place % columns:
            axis.set_yticklabels([])
        if place >= len(panels) - columns:
            axis.set_xlabel("times tsserv's")
    return canvas


def _spread(medians: Sequence[tuple[float, Sequence[float]]]) -> list[list[float]]:
    """Return how far the quartiles of some values are below and above their medians."""
    bounds = [(median, *quartiles(values)) for median, values in medians]
    # Rounding may put a quartile on the wrong side, which matplotlib refuses.
    return [
        [max(0.0, median - lower) for median, lower, _ in bounds],
        [max(0.0, upper - median) for median, _, upper in bounds],
    ]


def _growth(found: Sequence[Result]) -> Canvas:
    """Draw a line for each server: its CPU for each message, by the number of open connections."""
    canvas, (axis,) = _canvas(9, 4.5)
    least = next(result for result in found if result.server == BASELINE)
    lines: dict[str, list[Result]] = {}
    for result in found:
        lines.setdefault(result.server, []).append(result)
    for (server, line), colour in zip(lines.items(), _LINES, strict=False):
        ratios = [result.ratios(least.values) for result in line]
        medians = list(map(statistics.median, ratios))
        axis.errorbar(
            [int(result.point.split()[0].replace(",", "")) for result in line],
            medians,
            yerr=_spread(list(zip(medians, ratios, strict=True))),
            marker="o",
            color=colour,
            linewidth=2.5 if server == BASELINE else 1.2,
            elinewidth=1,
            label=f"{server}: {number(line[0].median)} to {number(line[-1].median)} {least.figure.unit}",
        )
    axis.set(
        title=f"{least.figure.title}, by the number of open connections",
        xlabel="open connections",
        ylabel=f"times tsserv's with {least.point}",
        xscale="log",
        ylim=(0, None),
    )
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return canvas
