"""Metrics: events that are added together are added one and all, each to its own series."""

import random
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from kit.records import event
from tollkeeper.core.usage import Usage
from tollkeeper.telemetry.metrics import Metrics


def _samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """By name and labels' values, sorted."""
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_each_event_is_in_its_series_and_its_keys_numbers_whenever_one_looks() -> None:
    draw = random.Random(5)
    metrics = Metrics({}, {}, {})
    expected: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for number in range(1, 301):
        one = event(
            key_id=draw.choice(["key_1", "key_2"]),
            provider=draw.choice(["up", "down"]),
            outcome=draw.choice(["ok", "client_left"]),
            usage=Usage(input_tokens=draw.randrange(1000), output_tokens=draw.randrange(1000)),
            cost_nano=draw.choice([None, 5 * 10**8, 10**9]),
            first_byte_ms=draw.choice([None, 5.0, 10.0, 11.0]),
            duration_ms=draw.choice([20.0, 320.0, 10**6]),
            overhead_ms=draw.choice([0.5, 0.75]),
        )
        metrics(one)
        series = ("chat", one.provider, "gpt-4o-mini", one.outcome)
        expected["gen_ai_server_request_duration_seconds_count", series] += 1
        expected["gen_ai_server_request_duration_seconds_bucket", (*series, "0.02")] += one.duration_ms == 20
        expected["gen_ai_server_request_duration_seconds_bucket", (*series, "0.32")] += one.duration_ms <= 320
        expected["gen_ai_server_time_to_first_token_seconds_count", series] += one.first_byte_ms is not None
        expected["gen_ai_server_time_to_first_token_seconds_bucket", (*series, "0.01")] += one.first_byte_ms in (5, 10)
        expected["tollkeeper_overhead_seconds_bucket", (*series, "0.0005")] += one.overhead_ms == 0.5
        expected["gen_ai_client_token_usage_total", (*series, "input")] += one.usage.input_tokens
        expected["gen_ai_client_token_usage_total", (*series, "output")] += one.usage.output_tokens
        expected["tollkeeper_unpriced_total", series] += one.cost_nano is None
        expected["tollkeeper_key_attempts_total", (one.key_id,)] += 1
        expected["tollkeeper_key_tokens_total", (one.key_id, "output")] += one.usage.output_tokens
        expected["tollkeeper_key_cost_usd_total", (one.key_id,)] += (one.cost_nano or 0) / 10**9  # type: ignore[assignment]
        if number in (1, 63, 64, 65, 200, 300):
            found = _samples(metrics)
            assert {key: found.get((key[0], tuple(sorted(key[1]))), 0.0) for key in expected} == dict(expected)


def test_names_that_callers_think_of_make_no_series_without_end() -> None:
    metrics = Metrics({}, {}, {})
    for number in range(1500):
        metrics(event(model=f"made-up-{number}", outcome="error", key_id=f"key_{number}"))
    metrics(event(model=None))
    found = _samples(metrics)

    models = {labels for name, labels in found if name == "tollkeeper_unpriced_total"}
    assert models == {("chat", "error", "other", "up"), ("chat", "none", "ok", "up")}
    assert found["tollkeeper_key_attempts_total", ("other",)] == 500
    assert found["gen_ai_server_request_duration_seconds_count", ("chat", "error", "other", "up")] == 1500
