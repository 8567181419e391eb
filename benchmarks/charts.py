"""Charts of the results: SVG that is the same for the same results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from peers import US
from results import Result, number

# With a background of its own a chart is readable on light and on dark pages.
_STYLE: Any = {
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "tsserv",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_OUR_COLOUR, _COLOUR = "#1f6feb", "#a3adb8"
_LINES = ("#57606a", _OUR_COLOUR, "#54aeff", "#1a7f37", "#bf3989", "#e16f24", "#8250df", "#9a6700", "#cf222e")

#: Bar charts: the file, and the measure and figures that it shows, some of them at one point only.
_BARS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("message", "messages", ("cpu",), "50 connections, 32 bytes"),
    ("cpu", "messages", ("cpu",), ""),
    ("rate", "messages", ("rate",), ""),
    ("latency", "messages", ("p50", "p99", "p99.9"), "50 connections, 32 bytes"),
    ("lines", "lines", ("cpu",), ""),
    ("memory", "memory", ("bytes",), ""),
    ("churn", "churn", ("cpu",), ""),
    ("burst", "burst", ("connected", "answered"), ""),
    ("lag", "lag", ("p50", "most"), ""),
)


def draw(found: Sequence[Result], caption: str, folder: Path) -> None:
    """
    Write a chart into ``folder`` for everything that ``found`` has.

    :param caption: the small print of each chart.
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
    canvas.text(0.01, 0.01, caption, fontsize=7, color="#57606a", va="bottom")
    canvas.savefig(path, metadata={"Date": None})


def _canvas(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Canvas, list[Any]]:
    """Return a canvas of so many inches, with room for the caption, and its panels."""
    # On the left, room for fonts that are wider than the one it is drawn with.
    layout = ConstrainedLayoutEngine(rect=(0.02, 0.35 / height, 0.98, 1 - 0.35 / height))
    canvas = Canvas(figsize=(width, height), layout=layout)
    return canvas, list(canvas.subplots(rows, columns, squeeze=False).flat)


def _bars(panels: Sequence[Sequence[Result]]) -> Canvas:
    """Draw a bar for each peer: how many times tsserv's its figure is."""
    columns = 3 if len(panels) % 3 == 0 else min(2, len(panels))
    rows = -(-len(panels) // columns)
    canvas, axes = _canvas(9, 0.6 + rows * (0.6 + 0.26 * len(panels[0])), columns, rows)
    for axis, panel in zip(axes, panels, strict=True):
        axis.set_title(f"{panel[0].figure.title}\n{panel[0].point}", fontsize=9)
        bars = axis.barh(
            [result.peer for result in panel],
            [result.ratio for result in panel],
            color=[_OUR_COLOUR if result.peer == US else _COLOUR for result in panel],
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


def _growth(found: Sequence[Result]) -> Canvas:
    """Draw a line for each peer: its CPU for each message, by the number of open connections."""
    canvas, (axis,) = _canvas(9, 4.5)
    least = next(result for result in found if result.peer == US)
    lines: dict[str, list[Result]] = {}
    for result in found:
        lines.setdefault(result.peer, []).append(result)
    for (peer, line), colour in zip(lines.items(), _LINES, strict=False):
        axis.plot(
            [int(result.point.split()[0].replace(",", "")) for result in line],
            [result.against(least.values) for result in line],
            marker="o",
            color=colour,
            linewidth=2.5 if peer == US else 1.2,
            label=f"{peer}: {number(line[0].median)} to {number(line[-1].median)} {least.figure.unit}",
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
