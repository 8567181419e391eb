"""Results: medians, ratios and their spread, as tables and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from catalog import BASELINE
from figures import Figure, Reading
from measures import Measure

#: All readings, one for each round, by measure, load and server.
Readings = Mapping[tuple[str, str, str], Sequence[Reading]]


@dataclass(frozen=True)
class Result:
    """
    One figure of one server under one load.

    :param measure: the name of the measure.
    :param point: the name of the load.
    :param server: the name of the server.
    :param values: the server's figures, one for each round.
    :param baseline: the figures of tsserv in the same rounds.
    """

    measure: str
    point: str
    figure: Figure
    server: str
    values: tuple[float, ...]
    baseline: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure itself."""
        return statistics.median(self.values)

    @property
    def ratio(self) -> float:
        """The figure as a multiple of tsserv's: the median of the ratios of the rounds."""
        return statistics.median(self.ratios())

    def ratios(self, others: Sequence[float] = ()) -> list[float]:
        """Return the ratios to ``others``, round by round; without any, to tsserv's figures."""
        return [value / other for value, other in zip(self.values, others or self.baseline, strict=True)]

    @property
    def given_up(self) -> bool:
        """Whether most runs reached the limit, and the figure is a lower bound."""
        return self.figure.limit is not None and self.median >= self.figure.limit

    def __str__(self) -> str:
        at_least = "≥ " if self.given_up else ""
        itself = f"{number(self.median)} {self.figure.unit}".rstrip()
        return f"{at_least}{number(self.ratio)} ({at_least}{itself})"


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of the middle half of some values; of one value, twice that."""
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def number(value: float) -> str:
    """Return ``value`` with about three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def results(measures: Sequence[Measure], readings: Readings) -> list[Result]:
    """Return every figure of every server, in the order of the tables."""
    return [
        Result(
            measure.name,
            point,
            figure,
            server,
            tuple(map(figure.of, readings[measure.name, point, server])),
            tuple(map(figure.of, readings[measure.name, point, BASELINE])),
        )
        for measure in measures
        for figure in measure.figures
        for name, point, server in readings
        if name == measure.name
    ]


def as_json(found: Sequence[Result], machine: Mapping[str, str], rounds: int) -> str:
    """Return everything as JSON, with one result a line."""
    rows = [
        {
            "measure": result.measure,
            "point": result.point,
            "figure": result.figure.name,
            "unit": result.figure.unit,
            "server": result.server,
            "ratio": _short(result.ratio),
            "quartiles": list(map(_short, quartiles(result.ratios()))),
            "median": _short(result.median),
            "at_least": result.given_up,
            "rounds": list(map(_short, result.values)),
        }
        for result in found
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f'{{"machine": {json.dumps(machine)},\n"rounds": {rounds},\n"results": [\n{lines}\n]}}\n'


def _short(value: float) -> float:
    """Return ``value`` with five digits."""
    return float(f"{value:.5g}")


def as_tables(found: Sequence[Result]) -> Iterator[str]:
    """Return the lines of one Markdown table for each figure, with a row for each server."""
    tables: dict[tuple[str, str], dict[str, dict[str, Result]]] = {}
    for result in found:
        table = tables.setdefault((result.measure, result.figure.title), {})
        table.setdefault(result.server, {})[result.point] = result
    for (measure, title), rows in tables.items():
        points = list(dict.fromkeys(point for row in rows.values() for point in row))
        yield from (
            f"### {title} (`{measure}`)",
            "",
            f"| | {' | '.join(points)} |",
            f"|---|{'---:|' * len(points)}",
        )
        for server, row in rows.items():
            yield f"| {server} | {' | '.join(_cell(row.get(point)) for point in points)} |"
        yield ""


def _cell(result: Result | None) -> str:
    if result is None:
        return "failed"
    lower, upper = map(number, quartiles(result.ratios()))
    return str(result) if lower == upper else f"{result}, {lower} to {upper}"
