"""Prometheus metrics, named after OpenTelemetry's GenAI conventions, with a bounded number of series.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/. Numbers are added up in plain dictionaries and turned
into prometheus-client's families when they are asked for: its own counters cost a lock and a lookup for each number.
It is loaded then, too: it brings an HTTP server of its own along.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from tollkeeper.core.events import Event
from tollkeeper.core.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_OVERHEAD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_CALL = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "outcome"]
Counts = tuple[tuple[str, ...], Callable[[], Mapping[tuple[str, ...], float]]]
"""Names of labels, and where the numbers are: by the labels' values, of which there are few."""
_MOST_MODELS = 200
_MOST_KEYS = 1000
_OTHER = "other"
_TOGETHER = 64
"""Events that are added at once: columns are summed faster than events are added."""
_read = attrgetter(
    *("operation", "provider", "model", "outcome", "key_id"),
    *("duration_ms", "first_byte_ms", "overhead_ms", "cost_nano", "usage.input_tokens", "usage.output_tokens"),
)


class _Series:
    """All numbers of one (operation, provider, model, outcome)."""

    __slots__ = ("cost_nano", "duration", "first", "input", "output", "overhead", "unpriced")

    def __init__(self) -> None:
        self.duration = Histogram(_SECONDS)
        self.first = Histogram(_SECONDS)
        self.overhead = Histogram(_OVERHEAD)
        self.input = self.output = self.cost_nano = self.unpriced = 0


class Metrics:
    """Adds events up; `text` is the exposition."""

    def __init__(
        self,
        gauges: Mapping[str, Callable[[], float]],
        counters: Mapping[str, Counts],
        histograms: Mapping[str, Histogram],
    ) -> None:
        self._series: dict[tuple[str, str, str, str], _Series] = {}
        self._keys: dict[str, list[int]] = {}
        self._models: set[str] = set()
        self._unadded: list[tuple[Any, ...]] = []
        self._gauges = gauges
        self._counters = counters
        self._histograms = histograms

    def __call__(self, event: Event) -> None:
        """Adds one attempt, soon."""
        self._unadded.append(_read(event))
        if len(self._unadded) == _TOGETHER:
            self._add()

    def _add(self) -> None:
        """Those of one key and one series are added together, column by column."""
        alike: defaultdict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
        for row in self._unadded:
            alike[row[:5]].append(row[5:])
        self._unadded.clear()
        for (operation, provider, model, outcome, key), rows in alike.items():
            durations, firsts, overheads, costs, inputs, outputs = zip(*rows, strict=True)
            unpriced = costs.count(None)
            cost, tokens_in, tokens_out = sum(filter(None, costs)), sum(inputs), sum(outputs)
            series = self._series_of(operation, provider, model or "none", outcome)
            series.duration.observe_all([milliseconds / 1000 for milliseconds in durations])
            series.first.observe_all([milliseconds / 1000 for milliseconds in firsts if milliseconds is not None])
            series.overhead.observe_all([milliseconds / 1000 for milliseconds in overheads])
            series.input += tokens_in
            series.output += tokens_out
            series.unpriced += unpriced
            series.cost_nano += cost
            numbers = self._numbers_of(key)
            numbers[0] += len(rows)
            numbers[1] += tokens_in
            numbers[2] += tokens_out
            numbers[3] += cost

    def _series_of(self, operation: str, provider: str, model: str, outcome: str) -> _Series:
        if model not in self._models:
            if len(self._models) < _MOST_MODELS and outcome in ("ok", "client_left"):
                self._models.add(model)
            else:
                model = _OTHER  # a caller could otherwise make a series of every name it thinks of
        labels = (operation, provider, model, outcome)
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series()
        return series

    def _numbers_of(self, key: str) -> list[int]:
        numbers = self._keys.get(key)
        if numbers is None:
            if len(self._keys) >= _MOST_KEYS:
                key = _OTHER
            numbers = self._keys.setdefault(key, [0, 0, 0, 0])
        return numbers

    def text(self) -> bytes:
        """The Prometheus text format."""
        self._add()
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(cast("Collector", self))  # which is whatever can `collect`
        return generate_latest(registry)

    def collect(self) -> "Iterator[Metric]":
        """Called by prometheus-client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        duration = HistogramMetricFamily("gen_ai_server_request_duration_seconds", "Whole attempts.", labels=_CALL)
        first = HistogramMetricFamily(
            "gen_ai_server_time_to_first_token_seconds", "From sending to the provider's first byte.", labels=_CALL
        )
        overhead = HistogramMetricFamily(
            "tollkeeper_overhead_seconds", "What the gate itself added until the answer began.", labels=_CALL
        )
        tokens = CounterMetricFamily(
            "gen_ai_client_token_usage", "Tokens charged.", labels=[*_CALL, "gen_ai_token_type"]
        )
        cost = CounterMetricFamily("tollkeeper_cost_usd", "Cost of priced attempts.", labels=_CALL)
        unpriced = CounterMetricFamily("tollkeeper_unpriced", "Attempts whose cost is unknown.", labels=_CALL)
        for labels, series in self._series.items():
            duration.add_metric(labels, series.duration.cumulative(), series.duration.total)
            first.add_metric(labels, series.first.cumulative(), series.first.total)
            overhead.add_metric(labels, series.overhead.cumulative(), series.overhead.total)
            tokens.add_metric([*labels, "input"], series.input)
            tokens.add_metric([*labels, "output"], series.output)
            cost.add_metric(labels, series.cost_nano / 1e9)
            unpriced.add_metric(labels, series.unpriced)
        yield from (duration, first, overhead, tokens, cost, unpriced)
        calls = CounterMetricFamily("tollkeeper_key_attempts", "Attempts, by key.", labels=["key"])
        by_key = CounterMetricFamily("tollkeeper_key_tokens", "Tokens, by key.", labels=["key", "gen_ai_token_type"])
        spent = CounterMetricFamily("tollkeeper_key_cost_usd", "Cost, by key.", labels=["key"])
        for key, numbers in self._keys.items():
            calls.add_metric([key], numbers[0])
            by_key.add_metric([key, "input"], numbers[1])
            by_key.add_metric([key, "output"], numbers[2])
            spent.add_metric([key], numbers[3] / 1e9)
        yield from (calls, by_key, spent)
        for name, (names, numbered) in self._counters.items():
            counter = CounterMetricFamily(f"tollkeeper_{name}", name.replace("_", " "), labels=names)
            for values, number in numbered().items():
                counter.add_metric(values, number)
            yield counter
        for name, value in self._gauges.items():
            gauge = GaugeMetricFamily(f"tollkeeper_{name}", name.replace("_", " "))
            gauge.add_metric([], value())
            yield gauge
        for name, found in self._histograms.items():
            family = HistogramMetricFamily(f"tollkeeper_{name}", name.replace("_", " "))
            family.add_metric([], found.cumulative(), found.total)
            yield family
