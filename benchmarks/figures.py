"""Figures: the numbers that follow from the readings of a run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: What one run has shown, by name: what ``load/`` prints, and what the server shows of itself.
Reading = Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """
    One number of each run.

    :param name: in ``results.json``.
    :param title: in tables and charts.
    :param unit: of the number.
    :param of: computes it from a reading.
    :param limit: the number at which a run is given up: a figure of so much means that or more.
    """

    name: str
    title: str
    unit: str
    of: Callable[[Reading], float]
    limit: float | None = None


def cpu(title: str, unit: str, scale: float, per: str) -> Figure:
    """Return the server's CPU time for each ``per``; ``scale`` is the number of units in a second."""
    return Figure("cpu", title, unit, lambda reading: reading["cpu"] / reading[per] * scale)


def rate(title: str, unit: str, of: str) -> Figure:
    """Return another reading divided by the seconds that it took."""
    return Figure("rate", title, unit, lambda reading: reading[of] / reading["seconds"])


def milliseconds(name: str, title: str, of: str, limit: float | None = None) -> Figure:
    """Return a time that was read, in milliseconds; ``limit`` is in seconds."""
    return Figure(
        name, title, "ms", lambda reading: reading[of] * 1e3, None if limit is None else limit * 1e3
    )


def until(event: str, title: str, limit: float) -> Figure:
    """Return the seconds until an event, at most ``limit``."""
    return Figure(event, title, "s", operator.itemgetter(event), limit)


def messages(prefix: str = "") -> tuple[Figure, ...]:
    """Return the figures of messages that wait for their answers."""
    return (
        cpu(f"{prefix}Server CPU for each message", "µs", 1e6, "messages"),
        rate(f"{prefix}Messages a second", "", "messages"),
        milliseconds("p50", f"{prefix}Latency, median", "p50"),
        milliseconds("p99", f"{prefix}Latency, 99 % of messages", "p99"),
        milliseconds("p99.9", f"{prefix}Latency, 99.9 % of messages", "p999"),
    )


def churn(prefix: str = "") -> tuple[Figure, ...]:
    """Return the figures of connections that come and go."""
    return (
        cpu(f"{prefix}Server CPU to connect, answer once and close", "µs", 1e6, "connections"),
        rate(f"{prefix}Connections a second that come, get one answer and go", "", "connections"),
    )


def transfer(prefix: str = "") -> tuple[Figure, ...]:
    """Return the figures of a transfer."""
    return (
        cpu(f"{prefix}Server CPU for each megabyte of a transfer", "µs", 1e6, "megabytes"),
        rate(f"{prefix}Megabytes a second of a transfer", "", "megabytes"),
    )


def memory(prefix: str = "", of: str = "each idle connection") -> tuple[Figure, ...]:
    """Return the figure of connections that stay as they are."""
    return (
        Figure(
            "bytes",
            f"{prefix}Memory of {of}",
            "KiB",
            lambda reading: reading["bytes"] / reading["connections"] / 1024,
        ),
    )


def lag() -> tuple[Figure, ...]:
    """Return the figures of a timer beside the service."""
    return (
        milliseconds("p50", "Lag of the reactor, median", "lag_p50"),
        milliseconds("most", "Lag of the reactor, longest", "lag_most"),
    )


def attack(name: str, limit: float) -> tuple[Figure, ...]:
    """Return the figures of greedy clients and of a polite one, which waits at most ``limit`` seconds."""
    return (
        cpu(f"{name}: server CPU for each kilobyte", "µs", 1e9, "bytes"),
        milliseconds("p50", f"{name}: latency of a polite client, median", "p50", limit),
        milliseconds("p99", f"{name}: latency of a polite client, 99 % of messages", "p99", limit),
    )


def start() -> tuple[Figure, ...]:
    """Return the figures of a server that has just started."""
    return (
        milliseconds("start", "Time from the start to listening", "start"),
        milliseconds("cpu", "CPU from the start to listening", "cpu"),
        Figure("bytes", "Memory after the start", "MiB", lambda reading: reading["bytes"] / 2**20),
    )
