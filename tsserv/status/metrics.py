"""``/metrics``: the figures for Prometheus, by its conventions for names; it takes ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tsserv.status.figures import BOUNDS, VERSIONS, Figures, Sample

_OPENMETRICS = "application/openmetrics-text"


class Metrics(Collector):
    """
    Makes metrics of figures.

    :param figures: the figures.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        # Not that of prometheus_client, which the whole process has in common.
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        # It counts all file descriptors, which takes as long as the figures: no more often than those.
        self._sample: Sample | None = None
        self._texts: dict[str, bytes] = {}

    def text(self, accept: str) -> tuple[bytes, str]:
        """
        Return the metrics and their media type.

        :param accept: the media types that the client takes: OpenMetrics is an offer, not the default.
        """
        now = self._figures.now()
        if now is not self._sample:
            self._sample, self._texts = now, {}
        encode, media_type = choose_encoder(_OPENMETRICS if _OPENMETRICS in accept else "")
        if media_type not in self._texts:
            self._texts[media_type] = encode(self._registry)
        return self._texts[media_type], media_type

    def collect(self) -> Iterator[Metric]:
        """Return all metrics, as a collector of ``prometheus_client`` does."""
        figures = self._figures
        now = figures.now()
        sums = now.sums
        yield InfoMetricFamily("tsserv_build", "Versions of the service and of what it runs on.", VERSIONS)
        yield GaugeMetricFamily("tsserv_connections_open", "Open connections.", now.open)
        yield _counter("connections_accepted", "Connections served, open or not.", sums.connections)
        yield _counter("connections_closed", "Connections served that have ended.", now.closed, "reason")
        yield _counter("connections_refused", "Connections that were not served.", now.refused, "reason")
        yield _counter("received_chunks", "Chunks received.", sums.chunks)
        yield _counter("received_bytes", "Bytes received.", sums.received)
        yield _counter("sent_bytes", "Bytes of answers sent.", sums.sent)
        yield GaugeMetricFamily("tsserv_unsent_bytes", "Bytes of answers that wait to be sent.", sums.unsent)
        if figures.credentials is not None:
            yield _counter("tls_handshakes", "Completed TLS handshakes.", figures.credentials.handshakes)
            yield GaugeMetricFamily(
                "tsserv_tls_certificate_expiry_timestamp_seconds",
                "When the certificate expires, in seconds since 1970.",
                figures.credentials.expires,
            )
        lost = {name: log.lost for name, log in figures.logs.items()}
        yield _counter("log_lines_lost", "Lines of log that could not be written.", lost, "log")
        yield HistogramMetricFamily(
            "tsserv_reactor_lag_seconds",
            "How late the reactor's timers are.",
            list(zip([*map(str, BOUNDS), "+Inf"], accumulate(now.lags), strict=True)),
            now.lag,
        )


def _counter(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """Return a counter with one value, or with one for each value of a label."""
    if not isinstance(value, Mapping):
        return CounterMetricFamily(f"tsserv_{name}", text, value)
    counter = CounterMetricFamily(f"tsserv_{name}", text, labels=[label])
    for key, count in value.items():
        counter.add_metric([key], count)
    return counter
