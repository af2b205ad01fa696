"""A dry run through the door: the very refusal that a call would get, or none; nothing is taken, sent or counted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-canary-0123456789"

[models.plain]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}

[models.kept]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
cache = {{ ttl = 600 }}

[models.unpriced]
targets = ["up/real"]
"""
WORDS = "words that nobody but the provider may see"


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    upstream.script = json_answer(200, chat_answer())
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


def call(gate: GateProcess, key: str, model: str, dry: str | None = None, **more: Any) -> tuple[int, Any]:
    """Status and body of a call, a real one unless `dry`."""
    body = {"model": model, "messages": [{"role": "user", "content": WORDS}], "max_tokens": 50, **more}
    headers = {} if dry is None else {"x_tollkeeper_dry_run": dry}
    status, _, answer = gate.call("POST", "/v1/chat/completions", key, body, **headers)
    return status, json.loads(answer)


def rehearsed(gate: GateProcess, key: str, model: str, **more: Any) -> Any:
    status, told = call(gate, key, model, "1", **more)
    assert status == 200, told
    assert told["dry_run"] is True
    return told


REFUSALS = [
    ({"models": ["other"]}, "plain", 404, "model_not_found"),
    ({}, "nobody-has-this/model", 404, "model_not_found"),
    ({"budgets": ["0.000001 USD"]}, "plain", 429, "budget_exceeded"),
    ({"budgets": ["10 tokens/day"]}, "plain", 429, "budget_exceeded"),
    ({"budgets": ["1 USD"]}, "unpriced", 400, "price_unknown"),
    ({"limits": ["5 tokens/minute"]}, "plain", 429, "rate_limit_too_small"),
]


@pytest.mark.parametrize(("rules", "model", "status", "code"), REFUSALS)
def test_what_would_be_refused_is_told_with_the_very_error(
    gate: GateProcess, rules: dict[str, Any], model: str, status: int, code: str
) -> None:
    key = gate.new_key(**rules)
    before = len(gate.events())

    told = rehearsed(gate, key, model)
    real_status, real = call(gate, key, model)

    assert told["admitted"] is False
    assert told["refusal"]["status"] == real_status
    assert told["refusal"]["body"] == real
    assert (status, code) == (real_status, real["error"]["code"])
    assert len(gate.events()) == before


def test_a_limit_that_is_used_up_is_told_and_asking_uses_nothing_up(gate: GateProcess) -> None:
    key = gate.new_key(limits=["2 requests/hour burst 2"])

    for _ in range(5):
        assert rehearsed(gate, key, "plain")["admitted"] is True
    assert [call(gate, key, "plain")[0] for _ in range(3)] == [200, 200, 429]
    refused = rehearsed(gate, key, "plain")["refusal"]

    assert refused["body"]["error"]["code"] == "rate_limit_exceeded"
    assert int(refused["headers"]["retry-after"]) > 0


def test_nothing_is_sent_recorded_refused_or_counted(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(budgets=["1 USD/day", "100000 tokens/day"], limits=["60 requests/minute", "9 concurrent"])
    sent, events = len(upstream.requests), len(gate.events())
    _, _, metrics_before = gate.operator("GET", "/metrics")

    told = [rehearsed(gate, key, model) for model in ("plain", "nobody-has-this/model", "plain")]

    assert [one["admitted"] for one in told] == [True, False, True]
    assert told[0]["rules"] == told[2]["rules"]
    assert {rule["rule"] for rule in told[0]["rules"]} == {"limit", "budget"}
    assert all(rule.get("held", 0) in (0, "0") for rule in told[2]["rules"])
    assert len(upstream.requests) == sent
    assert len(gate.events()) == events
    assert gate.operator("GET", f"/api/explain/{told[1]['request_id']}")[0] == 404
    refusals = [line for line in metrics_before.decode().splitlines() if line.startswith("tollkeeper_refusals")]
    _, _, metrics_after = gate.operator("GET", "/metrics")
    assert [line for line in metrics_after.decode().splitlines() if line.startswith("tollkeeper_refusals")] == refusals


def test_an_answer_from_the_cache_is_foreseen(gate: GateProcess) -> None:
    key = gate.new_key(name="keeps")
    before = rehearsed(gate, key, "kept")
    assert call(gate, key, "kept")[0] == 200

    after = rehearsed(gate, key, "kept")

    assert before["answered_from"] == "provider"
    assert {"rule": "cache", "result": "miss", "saved_usd": "0"} in before["rules"]
    assert after["answered_from"] == "cache"
    assert after["request"] is None
    assert [rule["result"] for rule in after["rules"] if rule["rule"] == "cache"] == ["hit"]


@pytest.mark.parametrize("value", ["true", "yes", "", "2"])
def test_a_misspelt_dry_run_is_refused_rather_than_made(
    gate: GateProcess, upstream: ScriptedUpstream, value: str
) -> None:
    key = gate.new_key(name="unsure")
    sent = len(upstream.requests)

    status, told = call(gate, key, "plain", value)

    assert (status, told["error"]["code"]) == (400, "invalid_value")
    assert len(upstream.requests) == sent


def test_one_that_says_0_is_a_real_call(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(name="sure")
    sent = len(upstream.requests)

    assert call(gate, key, "plain", "0")[0] == 200
    assert len(upstream.requests) == sent + 1
    assert b"x-tollkeeper" not in " ".join(upstream.requests[-1].headers).encode()


def test_a_stranger_learns_nothing(gate: GateProcess) -> None:
    assert call(gate, "tk-unknown", "plain", "1")[0] == 401
