"""What is measured: each measure is some loads, and the figures that follow from what was seen."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: What one load has shown: what ``load/`` prints, and for the reactor's lag what the server did.
Reading = Mapping[str, float]

_SIZE = 32  # bytes of a message, where the size is not what matters
_AT_ONCE = 4  # connections that come and go at the same time: fewer than any server's backlog
_IN_FLIGHT = 10  # messages on their way while the number of open connections grows


@dataclass(frozen=True)
class Figure:
    """
    One number of each run.

    :param name: in the results as JSON.
    :param title: what it is, for people.
    :param unit: of ``of``, for people.
    :param of: gets it from a reading.
    :param limit: where a run was given up: a figure of so much is that or more.
    """

    name: str
    title: str
    unit: str
    of: Callable[[Reading], float]
    limit: float | None = None


@dataclass(frozen=True)
class Measure:
    """
    Loads of one kind, and what to learn from them.

    :param name: of ``--only``.
    :param points: the load generator's arguments, by what the load is called.
    :param service: what the servers do: stamp each of the ``"chunks"``, each of the ``"lines"``, or
        ``"lag"``: stamp chunks and tell how late a timer is.
    :param warm_up: the load that each new server has first, of which nothing is counted.
    """

    name: str
    points: Mapping[str, tuple[object, ...]]
    figures: tuple[Figure, ...]
    service: str = "chunks"
    # On a fresh heap asyncio may take several times as long, until more connections have been there.
    warm_up: tuple[object, ...] = ("messages", 100, 100, _SIZE, 0.1)


def _plural(count: int) -> str:
    return f"{count:,} connection{'s' if count > 1 else ''}"


def _cpu(title: str, unit: str, scale: float, of: str) -> Figure:
    """Return the server's CPU time for each one ``of`` what the load generator counts."""
    return Figure("cpu", title, unit, lambda reading: reading["cpu"] / reading[of] * scale)


def _rate(title: str, of: str) -> Figure:
    """Return how many ``of`` what the load generator counts there are in a second."""
    return Figure("rate", title, "", lambda reading: reading[of] / reading["seconds"])


def _milliseconds(name: str, title: str, of: str) -> Figure:
    """Return a time as it was seen, in milliseconds."""
    return Figure(name, title, "ms", lambda reading: reading[of] * 1e3)


def measures(*, quick: bool, most: int) -> list[Measure]:
    """
    Return all measures.

    :param quick: whether to do little of everything, to see that it works.
    :param most: how many connections a process can have.
    """
    seconds = 0.1 if quick else 0.7
    limit = 5.0
    many = min(500 if quick else 5000, most)
    busy = 50 if quick else 1000
    cpu_of_message = _cpu("Server CPU for each message", "µs", 1e6, "messages")
    return [
        Measure(
            "messages",
            {
                f"{_plural(count)}, {size:,} bytes": ("messages", count, count, size, seconds)
                for size in (32, 1400)
                for count in ((1, 50) if quick else (1, 50, 1000))
            },
            (
                cpu_of_message,
                _rate("Messages a second", "messages"),
                _milliseconds("p50", "Latency, median", "p50"),
                _milliseconds("p99", "Latency, 99 % of messages", "p99"),
                _milliseconds("p99.9", "Latency, 99.9 % of messages", "p999"),
            ),
        ),
        Measure(
            "lines",
            {f"lines of {size} bytes": ("lines", size, seconds) for size in (8, 80)},
            (
                _cpu("Server CPU for each pipelined line", "ns", 1e9, "lines"),
                _rate("Pipelined lines a second", "lines"),
            ),
            service="lines",
            warm_up=("lines", 8, 0.1),
        ),
        Measure(
            "memory",
            {_plural(many): ("memory", many, _SIZE)},
            (
                Figure(
                    "bytes",
                    "Memory of each idle connection",
                    "KiB",
                    lambda reading: reading["bytes"] / reading["connections"] / 1024,
                ),
            ),
        ),
        Measure(
            "churn",
            {f"{_AT_ONCE} at once": ("churn", _AT_ONCE, _SIZE, seconds)},
            (
                _cpu("Server CPU to connect, answer once and close", "µs", 1e6, "connections"),
                _rate("Connections a second that come, get an answer and go", "connections"),
            ),
        ),
        Measure(
            "burst",
            {_plural(many): ("burst", many, _SIZE, limit)},
            tuple(
                Figure(event, f"Burst: time until all are {event}", "s", operator.itemgetter(event), limit)
                for event in ("connected", "answered")
            ),
        ),
        Measure(
            "growth",
            {
                _plural(count): ("messages", count, _IN_FLIGHT, _SIZE, seconds)
                for count in ((10, 100) if quick else (10, 100, 1000, min(10000, most)))
            },
            (cpu_of_message,),
        ),
        Measure(
            "lag",
            {_plural(busy): ("messages", busy, busy, _SIZE, seconds)},
            (
                _milliseconds("p50", "Lag of the reactor, median", "lag_p50"),
                _milliseconds("most", "Lag of the reactor, longest", "lag_most"),
            ),
            service="lag",
        ),
    ]
