"""The measures: each is one entry, with its loads and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import figures
from figures import Figure

#: The most connections that are open at once.
MOST_OPEN = 18000

_SIZE = 32  # bytes of a message, in measures that do not depend on it
_IN_FLIGHT = 10  # messages without an answer, in measures of many connections that are mostly idle

# What greedy clients send: the name of the measure, the service, the load generator's name, and the title.
_ATTACKS = (
    ("chunks", "chunks", "one-byte", "Chunks of one byte"),
    ("reset", "chunks", "reset", "One byte and a reset"),
    ("newlines", "lines", "newlines", "Newlines"),
    ("newlines-reset", "lines", "newlines-reset", "Newlines and a reset"),
    ("proxy", "proxy", "header", "Bad PROXY headers"),
    ("records", "tls", "one-byte", "TLS records of one byte"),
    ("x25519", "tls", "x25519", "TLS hellos for X25519"),
    ("p384", "tls", "p384", "TLS hellos for P-384"),
    ("p521", "tls", "p521", "TLS hellos for P-521"),
    ("ffdhe8192", "tls", "ffdhe8192", "TLS hellos for ffdhe8192"),
)

# The states of connections whose memory is measured: the name of the measure, the service, the title, and the
# load generator's names of the states by what they are called in tables.
_SERVED = {"idle": "idle", "idle after 448 KiB": "after-much", "not reading": "unread"}
_STATES = (
    ("plain", "lines", "Plain", {"silent": "silent", **_SERVED}),
    ("proxy", "proxy", "PROXY", {"before the header": "silent", "in the header": "header"}),
    ("tls", "tls lines", "TLS", {"before the hello": "silent", "in the hello": "hello", **_SERVED}),
)


@dataclass(frozen=True)
class Measure:
    """
    Loads of one kind, and the figures that follow from them.

    :param name: for ``--only``.
    :param loads: arguments of the load generator, by the name of the load.
    :param figures: what follows from the readings of each load.
    :param services: a server takes part with the first of these that it offers: see :class:`catalog.Server`.
    :param warm_up: arguments of a load that each new server has first; its readings are not used.
    :param alone: whether each load needs a new server, and no other server may run at the same time.
    """

    name: str
    loads: Mapping[str, tuple[object, ...]]
    figures: tuple[Figure, ...]
    services: tuple[str, ...] = ("chunks",)
    # On a fresh heap asyncio may take several times as long, until it has had more connections.
    warm_up: tuple[object, ...] = ("messages", 100, 100, _SIZE, 0.1)
    alone: bool = False

    @property
    def needs_tls(self) -> bool:
        """Whether the load generator has to use TLS."""
        return "tls" in self.services[0]


def _plural(count: int) -> str:
    return f"{count:,} connection{'s' if count > 1 else ''}"


def measures(*, quick: bool, most: int) -> list[Measure]:
    """
    Return all measures.

    :param quick: whether to do a little of everything, to see that it works.
    :param most: how many connections a process can have.
    """
    seconds = 0.05 if quick else 0.7
    lag_seconds = 0.2 if quick else seconds  # time for some ticks
    attack_seconds = seconds if quick else 1.0
    limit = 2.0 if quick else 5.0
    many = min(500 if quick else 5000, most)
    most_open = min(500 if quick else MOST_OPEN, most)
    idle_tls = min(100 if quick else 1000, most)
    busy = 50 if quick else 1000
    counts = (1, 50) if quick else (1, 50, 1000)
    in_states = 5 if quick else 200
    megabytes = 10 if quick else 1000
    tls_megabytes = 2 if quick else 100
    churn = {f"{count} at once": ("churn", count, _SIZE, seconds) for count in (1, 4, 50)}
    return [
        Measure(
            "messages",
            {
                f"{_plural(count)}, {size:,} bytes": ("messages", count, count, size, seconds)
                for size in (32, 1400)
                for count in counts
            },
            figures.messages(),
        ),
        Measure(
            "lines",
            {f"lines of {size} bytes": ("lines", size, seconds) for size in (8, 80)},
            (
                figures.cpu("Server CPU for each pipelined line", "ns", 1e9, "lines"),
                figures.rate("Pipelined lines a second", "", "lines"),
            ),
            services=("lines",),
            warm_up=("lines", 8, 0.1),
        ),
        Measure("transfer", {f"{megabytes:,} MB": ("transfer", megabytes)}, figures.transfer()),
        Measure("memory", {_plural(many): ("memory", many, _SIZE)}, figures.memory()),
        Measure("churn", churn, figures.churn(), services=("chunks", "unlogged")),
        Measure(
            "burst",
            {_plural(many): ("burst", many, _SIZE, limit)},
            tuple(
                figures.until(event, f"Burst: time until all are {event}", limit)
                for event in ("connected", "answered")
            ),
        ),
        Measure(
            "growth",
            {
                _plural(count): ("messages", count, _IN_FLIGHT, _SIZE, seconds)
                for count in ((10, 100) if quick else (10, 100, 1000, min(10000, most)))
            },
            figures.messages()[:1],
        ),
        Measure(
            "lag", {_plural(busy): ("messages", busy, busy, _SIZE, lag_seconds)}, figures.lag(), ("timer",)
        ),
        # tsserv checks its connections every 7.5 s: one check at least is within 9 s.
        Measure(
            "stall",
            {_plural(most_open): ("messages", most_open, _IN_FLIGHT, _SIZE, lag_seconds if quick else 9)},
            figures.lag(),
            ("timer",),
        ),
        Measure(
            "start", {"under twistd": ("start", _SIZE)}, figures.start(), ("twistd",), warm_up=(), alone=True
        ),
        Measure(
            "tls-messages",
            {
                f"{_plural(count)}, {_SIZE} bytes": ("messages", count, count, _SIZE, seconds)
                for count in counts
            },
            figures.messages("TLS: "),
            services=("tls",),
        ),
        Measure("tls-churn", churn, figures.churn("TLS: "), services=("tls", "unlogged tls")),
        Measure(
            "tls-memory", {_plural(idle_tls): ("memory", idle_tls, _SIZE)}, figures.memory("TLS: "), ("tls",)
        ),
        Measure(
            "tls-transfer",
            {f"{tls_megabytes:,} MB": ("transfer", tls_megabytes)},
            figures.transfer("TLS: "),
            ("tls",),
        ),
        *(
            Measure(
                f"attack-{name}",
                {
                    _plural(count): ("attack", kind, count, attack_seconds, limit)
                    for count in ((10,) if quick else (1, 100, min(900, most)))
                },
                figures.attack(title, limit),
                (service,),
                warm_up=(),
                alone=True,
            )
            for name, service, kind, title in _ATTACKS
        ),
        *(
            Measure(
                f"attack-memory-{name}",
                {state: ("states", kind, in_states) for state, kind in kinds.items()},
                figures.memory(f"{title}: ", "each connection"),
                (service,),
                warm_up=(),
                alone=True,
            )
            for name, service, title, kinds in _STATES
        ),
    ]
