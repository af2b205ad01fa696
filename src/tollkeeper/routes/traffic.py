"""Prometheus metrics of ordinary routes, with APISIX's names and labels and a bounded number of series.

prometheus-client is loaded when they are asked for: it brings an HTTP server of its own along.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, cast

from tollkeeper.core.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    from tollkeeper.routes.upstreams import Upstream

_MILLISECONDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000)
_PLACE = ("route", "service", "consumer", "node")
_REQUEST = (
    *("code", "route", "matched_uri", "matched_host", "service", "consumer", "node"),
    *("request_type", "request_llm_model", "llm_model", "response_source"),
)
_WORK = ("route_id", "service_id", "consumer", "node", "request_type", "request_llm_model", "llm_model")
MOST_SERIES = 20_000
_OTHER = "other"


class Traffic:
    """Adds requests up; `text` is the exposition."""

    def __init__(self, watched: "Callable[[], Iterable[Upstream]]" = tuple) -> None:
        """`watched` gives the upstreams whose nodes are checked."""
        self._watched = watched
        self._status: dict[tuple[str, ...], int] = {}
        self._latency: dict[tuple[str, ...], Histogram] = {}
        self._bytes: dict[tuple[str, ...], int] = {}
        self._work: dict[tuple[str, ...], Histogram] = {}
        self._tokens: dict[tuple[str, ...], int] = {}
        self._active: dict[tuple[str, ...], int] = {}
        self._requests = 0

    def add(
        self,
        *,
        code: str,
        route: str,
        uri: str,
        host: str,
        service: str,
        consumer: str,
        node: str,
        source: str,
        seconds: float,
        upstream_seconds: float | None,
        received: int,
        sent: int,
        kind: str = "traditional_http",
        asked: str = "",
        model: str = "",
    ) -> None:
        """One request that is over. Seconds and bytes; `asked` and `model`: what models do for it."""
        self._requests += 1
        labels = (code, route, uri, host, service, consumer, node, kind, asked, model, source)
        if labels not in self._status and len(self._status) >= MOST_SERIES:
            route = uri = host = service = consumer = node = _OTHER
            labels = (code, route, uri, host, service, consumer, node, kind, _OTHER, _OTHER, source)
        self._status[labels] = self._status.get(labels, 0) + 1
        place = (route, service, consumer, node)
        self._took("request", place, seconds)
        if upstream_seconds is not None:
            self._took("upstream", place, upstream_seconds)
        self._took("apisix", place, max(seconds - (upstream_seconds or 0.0), 0.0))
        for kind, size in (("ingress", received), ("egress", sent)):
            self._bytes[kind, *place] = self._bytes.get((kind, *place), 0) + size

    def begun(self, place: tuple[str, ...]) -> None:
        """A model works for a request; `place` are the labels of what models do."""
        self._active[place] = self._active.get(place, 0) + 1

    def ended(self, place: tuple[str, ...]) -> None:
        """It does no more."""
        self._active[place] -= 1
        if not self._active[place]:
            del self._active[place]

    def worked(
        self, place: tuple[str, ...], prompt: int, completion: int, milliseconds: float, first: float | None
    ) -> None:
        """What one attempt came to: tokens, and milliseconds in all and to the first byte."""
        if ("prompt", *place) not in self._tokens and len(self._tokens) >= MOST_SERIES:
            place = (_OTHER,) * len(_WORK)
        for kind, count in (("prompt", prompt), ("completion", completion)):
            self._tokens[kind, *place] = self._tokens.get((kind, *place), 0) + count
        for kind, took in (("total", milliseconds), ("ttft", first)):
            if took is not None:
                self._work.setdefault((kind, *place), Histogram(_MILLISECONDS)).observe(took)

    def _took(self, kind: str, place: tuple[str, ...], seconds: float) -> None:
        histogram = self._latency.get((kind, *place))
        if histogram is None:
            histogram = self._latency[kind, *place] = Histogram(_MILLISECONDS)
        histogram.observe(seconds * 1000)

    def text(self) -> bytes:
        """The Prometheus text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(cast("Collector", self))  # which is whatever can `collect`
        return generate_latest(registry)

    def collect(self) -> "Iterator[Metric]":
        """Called by prometheus-client."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        status = CounterMetricFamily("apisix_http_status", "HTTP status codes per route", labels=_REQUEST)
        for labels, count in self._status.items():
            status.add_metric(labels, count)
        # prometheus-client would append _total; APISIX's counters are named without.
        yield _plain(status)
        latency = HistogramMetricFamily(
            "apisix_http_latency", "HTTP request latency in milliseconds per route", labels=("type", *_PLACE)
        )
        for labels, histogram in self._latency.items():
            latency.add_metric(labels, histogram.cumulative(), histogram.total)
        yield latency
        band = CounterMetricFamily("apisix_bandwidth", "Bandwidth in bytes per route", labels=("type", *_PLACE))
        for labels, size in self._bytes.items():
            band.add_metric(labels, size)
        yield _plain(band)
        yield from self._of_models()
        yield from self._of_nodes()
        requests = CounterMetricFamily("apisix_http_requests", "The total number of client requests")
        requests.add_metric((), self._requests)
        yield requests

    def _of_nodes(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        info = GaugeMetricFamily("apisix_node_info", "The machine that this gate runs on", labels=("hostname",))
        info.add_metric((socket.gethostname(),), 1)
        yield info
        words = "Whether a node with active checks is healthy (1) or not (0)"
        status = GaugeMetricFamily("apisix_upstream_status", words, labels=("name", "ip", "port"))
        nodes = {
            (each.name, node.host, str(node.port)): node.healthy for each in self._watched() for node in each.nodes
        }
        for place, healthy in nodes.items():
            status.add_metric(place, int(healthy))
        yield status

    def _of_models(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        words = "Milliseconds that models took, in all and to the first byte"
        latency = HistogramMetricFamily("apisix_llm_latency", words, labels=("type", *_WORK))
        for labels, histogram in self._work.items():
            latency.add_metric(labels, histogram.cumulative(), histogram.total)
        yield latency
        for kind in ("prompt", "completion"):
            tokens = CounterMetricFamily(f"apisix_llm_{kind}_tokens", f"Tokens of kind {kind}", labels=_WORK)
            for labels, count in self._tokens.items():
                if labels[0] == kind:
                    tokens.add_metric(labels[1:], count)
            yield _plain(tokens)
        active = GaugeMetricFamily("apisix_llm_active_connections", "Requests that models work for now", labels=_WORK)
        for place, count in self._active.items():
            active.add_metric(place, count)
        yield active


def _plain(family: "Metric") -> "Metric":
    from prometheus_client.core import Metric

    metric = Metric(family.name, family.documentation, "unknown")
    for sample in family.samples:
        metric.add_sample(family.name, sample.labels, sample.value)
    return metric
