"""Metrics as Prometheus reads them: named after OpenTelemetry, equal to the ledger, bounded whatever callers invent."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kit.gate import GateProcess, running_gate
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer

OPEN_ENDED = """
[providers.openai]
base_url = "{url}"
api_key = "sk-x"
"""
PRICED = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
"""
CALL = {"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "outcome"}


def _answer(request: Request, connection: Connection) -> bool:
    """Refuses names that begin with `no`, else answers."""
    if request.json().get("model", "").startswith("no"):
        return bool(json_answer(404, {"error": {"message": "no such model"}})(request, connection))
    return bool(json_answer(200, chat_answer(prompt_tokens=7, completion_tokens=2))(request, connection))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(_answer) as scripted:
        yield scripted


def _metrics(gate: GateProcess) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by name, as a Prometheus server would read them; no series may be there twice."""
    status, headers, body = gate.operator("GET", "/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = defaultdict(list)
    series = set()
    for family in text_string_to_metric_families(body.decode()):
        assert family.documentation
        for sample in family.samples:
            one = (sample.name, frozenset(sample.labels.items()))
            assert one not in series
            series.add(one)
            found[sample.name].append((sample.labels, sample.value))
    return dict(found)


@pytest.mark.parametrize("name", ["tollkeeper_draining", "tollkeeper_ledger_healthy"])
def test_gauges_are_there_before_any_call(gate: GateProcess, name: str) -> None:
    assert _metrics(gate)[name] == [({}, 1.0 if "healthy" in name else 0.0)]


def test_tokens_cost_and_counts_equal_the_ledger(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    config = (
        PRICED.format(url=upstream.url) + '[models.no]\ntargets = ["up/no"]\n[models.free]\ntargets = ["up/free"]\n'
    )
    with running_gate(tmp_path, config) as gate:
        keys = [gate.new_key(name=name) for name in ("a", "b")]
        for key, model in [(keys[0], "m"), (keys[0], "m"), (keys[1], "m"), (keys[1], "no"), (keys[1], "free")]:
            gate.call("POST", "/v1/chat/completions", key, {"model": model, "messages": []})
        events = gate.events_once(5)
        metrics = _metrics(gate)

    assert len(events) == 5
    for kind in ("input", "output"):
        charged = sum(event[f"{kind}_tokens"] for event in events)
        assert charged > 0
        for name in ("gen_ai_client_token_usage_total", "tollkeeper_key_tokens_total"):
            assert sum(v for labels, v in metrics[name] if labels["gen_ai_token_type"] == kind) == charged
    cost = float(sum(Decimal(event["cost_usd"] or 0) for event in events))
    assert sum(value for _, value in metrics["tollkeeper_cost_usd_total"]) == pytest.approx(cost, rel=1e-12)
    assert sum(value for _, value in metrics["tollkeeper_unpriced_total"]) == 1
    by_key = {key: sum(event["key_id"] == key for event in events) for key in {event["key_id"] for event in events}}
    assert {labels["key"]: value for labels, value in metrics["tollkeeper_key_attempts_total"]} == by_key
    for key in by_key:
        spent = float(sum(Decimal(event["cost_usd"] or 0) for event in events if event["key_id"] == key))
        told = [value for labels, value in metrics["tollkeeper_key_cost_usd_total"] if labels["key"] == key]
        assert told == [pytest.approx(spent, rel=1e-12)]
    ok = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "up",
        "gen_ai_request_model": "m",
        "outcome": "ok",
    }
    for name, field in [
        ("gen_ai_server_request_duration_seconds", "duration_ms"),
        ("gen_ai_server_time_to_first_token_seconds", "first_byte_ms"),
        ("tollkeeper_overhead_seconds", "overhead_ms"),
    ]:
        [(_, count)] = [sample for sample in metrics[f"{name}_count"] if sample[0] == ok]
        [(_, total)] = [sample for sample in metrics[f"{name}_sum"] if sample[0] == ok]
        buckets = [value for labels, value in metrics[f"{name}_bucket"] if labels.items() >= ok.items()]
        assert count == buckets[-1] == 3
        assert buckets == sorted(buckets)
        seconds = sum(event[field] for event in events if event["model"] == "m") / 1000
        assert total == pytest.approx(seconds, rel=1e-9)


def test_every_series_of_calls_has_the_same_labels_and_no_secret(gate: GateProcess, key: str) -> None:
    gate.call("POST", "/v1/chat/completions", key, {"model": "gpt-4o-mini", "messages": []})
    metrics = _metrics(gate)

    for name, samples in metrics.items():
        for labels, _ in samples:
            if name.startswith("gen_ai_"):
                assert set(labels) - {"le", "gen_ai_token_type"} == CALL
            for value in labels.values():
                assert value not in (key, gate.operator_key)
                assert "sk-" not in value


def test_series_stay_few_when_callers_invent_model_names(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    with running_gate(tmp_path, OPEN_ENDED.format(url=upstream.url)) as gate:
        key = gate.new_key()

        def call(model: str) -> int:
            return gate.call("POST", "/v1/chat/completions", key, {"model": model, "messages": []})[0]

        with ThreadPoolExecutor(8) as pool:
            refused = set(pool.map(call, [f"no-{number}" for number in range(100)]))
            answered = set(pool.map(call, [f'in"vented\\{number}' for number in range(500)]))
        assert (refused, answered) == ({404}, {200})
        samples = _metrics(gate)["gen_ai_server_request_duration_seconds_count"]

    assert sum(value for _, value in samples) == 600
    names = {labels["gen_ai_request_model"] for labels, _ in samples}
    assert len(names) == 201
    assert "other" in names
    assert not any(name.startswith("no-") for name in names)
