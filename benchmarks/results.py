"""What came out: medians, ratios, and how people and programs read them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from measures import Figure, Measure, Reading
from peers import US

#: All readings, one for each round, by measure, point and peer.
Readings = Mapping[tuple[str, str, str], Sequence[Reading]]


@dataclass(frozen=True)
class Result:
    """
    One figure of one peer at one point.

    :param values: one for each round.
    :param ours: tsserv's, in the same rounds.
    """

    measure: str
    point: str
    figure: Figure
    peer: str
    values: tuple[float, ...]
    ours: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure itself."""
        return statistics.median(self.values)

    @property
    def ratio(self) -> float:
        """How many times tsserv's it is: the median of the ratios of each round."""
        return self.against(self.ours)

    def against(self, others: Sequence[float]) -> float:
        """Return the median of the ratios to ``others``, round by round."""
        return statistics.median(value / other for value, other in zip(self.values, others, strict=True))

    @property
    def given_up(self) -> bool:
        """Whether it is at least that much: most runs reached the limit."""
        return self.figure.limit is not None and self.median >= self.figure.limit

    def __str__(self) -> str:
        at_least = "≥ " if self.given_up else ""
        itself = f"{number(self.median)} {self.figure.unit}".rstrip()
        return f"{at_least}{number(self.ratio)} ({at_least}{itself})"


def number(value: float) -> str:
    """Return ``value`` with about three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def results(measures: Sequence[Measure], readings: Readings) -> list[Result]:
    """Return every figure of every peer, in the order in which people look at them."""
    return [
        Result(
            measure.name,
            point,
            figure,
            peer,
            tuple(map(figure.of, readings[measure.name, point, peer])),
            tuple(map(figure.of, readings[measure.name, point, US])),
        )
        for measure in measures
        for figure in measure.figures
        for name, point, peer in readings
        if name == measure.name
    ]


def as_json(found: Sequence[Result], machine: Mapping[str, str], rounds: int) -> str:
    """Return everything as JSON, one result on a line."""
    rows = [
        {
            "measure": result.measure,
            "point": result.point,
            "figure": result.figure.name,
            "unit": result.figure.unit,
            "peer": result.peer,
            "ratio": _short(result.ratio),
            "median": _short(result.median),
            "at_least": result.given_up,
            "rounds": list(map(_short, result.values)),
        }
        for result in found
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f'{{"machine": {json.dumps(machine)},\n"rounds": {rounds},\n"results": [\n{lines}\n]}}\n'


def _short(value: float) -> float:
    """Return ``value`` without digits that mean nothing."""
    return float(f"{value:.5g}")


def as_tables(found: Sequence[Result]) -> Iterator[str]:
    """Return the lines of one Markdown table for each figure: a row for each peer."""
    tables: dict[tuple[str, str], dict[str, dict[str, Result]]] = {}
    for result in found:
        table = tables.setdefault((result.measure, result.figure.title), {})
        table.setdefault(result.peer, {})[result.point] = result
    for (measure, title), rows in tables.items():
        points = next(iter(rows.values()))
        yield from (
            f"### {title} (`{measure}`)",
            "",
            f"| | {' | '.join(points)} |",
            f"|---|{'---:|' * len(points)}",
        )
        for peer, row in rows.items():
            yield f"| {peer} | {' | '.join(str(row[point]) for point in points)} |"
        yield ""
