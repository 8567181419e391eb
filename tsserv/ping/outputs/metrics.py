"""Metrics by the conventions of Prometheus (https://prometheus.io/docs/practices/naming/)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from tsserv.ping.outputs.measured import Measured

#: The media type of :meth:`Metrics.page`.
CONTENT_TYPE = CONTENT_TYPE_LATEST

_Value = Callable[[Measured], float | None]

# Of each counter the end of its name, its help text and its value.
_COUNTERS: tuple[tuple[str, str, _Value], ...] = (
    ("sent", "Probes that were due.", lambda of: of.counts.sent),
    ("lost", "Probes without an answer within the timeout.", lambda of: of.lost),
    ("late", "Probes answered after the timeout; they count as lost too.", lambda of: of.counts.late),
    ("altered", "Probes answered with other bytes.", lambda of: of.counts.altered),
    ("doubled", "Further answers to a probe.", lambda of: of.counts.doubled),
    ("stray", "Lines that answer no probe.", lambda of: of.counts.stray),
    ("retransmits", "Segments that the kernel sent again.", lambda of: of.counts.retransmits),
    ("outages", "Times without the service that are over.", lambda of: of.counts.outages),
    ("outage_seconds", "How long these times were together.", lambda of: of.counts.away),
)

# The same of each gauge; it is not shown if there is no value.
_GAUGES: tuple[tuple[str, str, _Value], ...] = (
    ("up", "Whether the last probe was answered in time.", lambda of: of.up),
    (
        "offset_seconds",
        "How far the server's clock is ahead of this machine's.",
        lambda of: None if (offset := of.offset) is None else offset.middle / 1e9,
    ),
    (
        "offset_uncertainty_seconds",
        "The largest possible error of the offset.",
        lambda of: None if (offset := of.offset) is None else offset.uncertainty / 1e9,
    ),
    (
        "way_uncertainty_seconds",
        "The largest possible error of the last probe's times there and back.",
        lambda of: of.way_uncertainty,
    ),
    ("connect_seconds", "How long TCP took to connect the last time.", lambda of: of.connect_seconds),
    (
        "certificate_expiry_timestamp_seconds",
        "When the server's certificate expires, in seconds since 1970.",
        lambda of: of.expires,
    ),
)


class Metrics(Collector):
    """
    The page that Prometheus reads.

    :param targets: are read each time; other threads may change them meanwhile.
    """

    def __init__(self, targets: Iterable[Measured]) -> None:
        self._targets = targets
        self._version = version("tsserv")
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def page(self) -> bytes:
        """Return the page, in the text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; the library calls this."""
        yield InfoMetricFamily("tsserv_ping_build", "The version of tsserv-ping.", {"version": self._version})
        for name, text, value in _COUNTERS:
            yield self._family(CounterMetricFamily, name, text, value)
        for name, text, value in _GAUGES:
            yield self._family(GaugeMetricFamily, name, text, value)
        rtt = HistogramMetricFamily("tsserv_ping_rtt_seconds", "Round-trip times.", labels=["target"])
        way = HistogramMetricFamily(
            "tsserv_ping_way_seconds", "Times of each way, there and back.", labels=["target", "way"]
        )
        for of in self._targets:
            rtt.add_metric([of.name], of.rtt.buckets(), of.rtt.seconds)
            way.add_metric([of.name, "there"], of.there.buckets(), of.there.seconds)
            way.add_metric([of.name, "back"], of.back.buckets(), of.back.seconds)
        yield rtt
        yield way

    def _family(
        self, family: type[CounterMetricFamily | GaugeMetricFamily], name: str, text: str, value: _Value
    ) -> Metric:
        metric = family(f"tsserv_ping_{name}", text, labels=["target"])
        for of in self._targets:
            number = value(of)
            if number is not None:
                metric.add_metric([of.name], number)
        return metric
