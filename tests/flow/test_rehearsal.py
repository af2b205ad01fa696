"""What a dry run tells of the call itself: who would be asked, what would be changed, what it can and may cost."""

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

[providers.second]
kind = "openai"
base_url = "{url}"

[providers.other]
kind = "anthropic"
base_url = "{url}"

[models.two]
targets = ["up/a", "second/b"]
price = {{ input = 1.5, output = 6 }}

[models.one]
targets = ["second/a"]
price = {{ input = 1.5, output = 6, request = 0.01 }}

[models.translated]
targets = ["other/claude"]
price = {{ input = 1.5, output = 6 }}

[models.thinking]
targets = ["other/claude-sonnet-4-5"]
max_output_tokens = 5000
price = {{ input = 1.5, output = 6 }}

[models.mixed]
targets = ["other/claude", "up/a"]
"""


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    upstream.script = json_answer(200, chat_answer(prompt_tokens=9, completion_tokens=40))
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(scope="module")
def key(gate: GateProcess) -> str:
    return gate.new_key(name="asks")


BODY = {"model": "two", "messages": [{"role": "user", "content": "a canary sings"}], "temperature": 0.5}


def rehearsed(gate: GateProcess, key: str, body: dict[str, Any], path: str = "/v1/chat/completions") -> Any:
    status, _, answer = gate.call("POST", path, key, body, x_tollkeeper_dry_run="1")
    assert status == 200, answer
    assert b"sk-canary" not in answer
    assert b"a canary sings" not in answer
    told = json.loads(answer)
    assert told["admitted"] is True, told
    return told


def test_candidates_come_in_the_order_in_which_they_would_be_asked(gate: GateProcess, key: str) -> None:
    assert rehearsed(gate, key, BODY)["candidates"] == [
        {"target": "up/a", "reason": "ordered"},
        {"target": "second/b", "reason": "if those before it fail"},
    ]
    assert rehearsed(gate, key, BODY | {"model": "one"})["candidates"] == [
        {"target": "second/a", "reason": "the only one"}
    ]


def test_the_request_is_shown_by_what_the_gate_changes_in_it(
    gate: GateProcess, key: str, upstream: ScriptedUpstream
) -> None:
    told = rehearsed(gate, key, BODY | {"stream": True})["request"]

    assert told == {
        "method": "POST",
        "url": f"{upstream.url}/chat/completions",
        "dialect": "openai_chat",
        "changed": {"model": "a", "stream_options": {"include_usage": True}},
        "dropped": [],
    }


def test_a_call_that_is_translated_is_rehearsed_in_the_other_dialect(
    gate: GateProcess, key: str, upstream: ScriptedUpstream
) -> None:
    asked = BODY | {"model": "translated", "seed": 1, "max_tokens": 100}
    told = rehearsed(gate, key, asked)

    assert told["candidates"] == [{"target": "other/claude", "reason": "the only one"}]
    assert told["request"] == {
        "method": "POST",
        "url": f"{upstream.url}/messages",
        "dialect": "anthropic_messages",
        "changed": {"model": "claude"},
        "dropped": ["seed"],
    }
    assert told["ceiling"]["output_tokens"] == 100
    assert told["expected"]["input_tokens"] == 12


def test_a_budget_that_clamps_is_seen_in_a_translated_request(gate: GateProcess) -> None:
    told = rehearsed(gate, gate.new_key(budgets=["0.01 USD/day"]), BODY | {"model": "translated"})

    assert told["request"]["changed"]["max_tokens"] == told["ceiling"]["output_tokens"] < 4096
    assert float(told["ceiling"]["usd"]) <= 0.01


def test_a_call_that_is_translated_is_limited_by_a_budget_as_any_other(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    poor = gate.new_key(budgets=["0.02 USD/day"])
    asked = {"messages": BODY["messages"], "model": "thinking", "reasoning_effort": "medium"}
    told = rehearsed(gate, poor, asked)
    gate.call("POST", "/v1/chat/completions", poor, asked)
    sent = upstream.requests[-1].json()

    assert sent["max_tokens"] == told["request"]["changed"]["max_tokens"]
    assert 1024 <= sent["thinking"]["budget_tokens"] < sent["max_tokens"] < 4000
    assert rehearsed(gate, gate.new_key(), asked)["ceiling"]["output_tokens"] == 5000


def test_a_target_that_cannot_be_asked_is_passed_over_as_in_a_call(gate: GateProcess, key: str) -> None:
    told = rehearsed(gate, key, {"model": "mixed", "prompt": "a canary sings"}, "/v1/completions")
    status, headers, _ = gate.call("POST", "/v1/completions", key, {"model": "mixed", "prompt": "a canary sings"})

    assert told["candidates"] == [
        {"target": "up/a", "reason": "those before it were passed over"},
        {"target": "other/claude", "skipped": "endpoint_not_found"},
    ]
    assert (status, headers["x-tollkeeper-model"]) == (200, "up/a")


def test_what_a_query_holds_is_not_shown(gate: GateProcess, key: str, upstream: ScriptedUpstream) -> None:
    told = rehearsed(gate, key, BODY, "/v1/chat/completions?token=secret&b=2")["request"]

    assert told["url"] == f"{upstream.url}/chat/completions?token=…&b=…"


def test_a_budget_that_clamps_is_seen_in_what_would_be_sent(gate: GateProcess) -> None:
    poor = gate.new_key(budgets=["0.01 USD/day"])

    told = rehearsed(gate, poor, BODY)
    [field] = [name for name in told["request"]["changed"] if name != "model"]
    [clamped] = [rule for rule in told["rules"] if rule["rule"] == "clamped"]

    assert clamped == {"rule": "clamped", "field": field, "value": told["request"]["changed"][field]}
    assert told["ceiling"]["output_tokens"] == clamped["value"]
    assert float(told["ceiling"]["usd"]) <= 0.01


def test_the_ceiling_is_what_the_bytes_and_the_limit_allow_at_the_dearest_price(gate: GateProcess, key: str) -> None:
    unlimited = rehearsed(gate, key, BODY)["ceiling"]
    limited = rehearsed(gate, key, BODY | {"model": "one", "max_tokens": 100, "n": 2})["ceiling"]

    assert unlimited["output_tokens"] is None
    assert unlimited["usd"] is None
    assert limited["output_tokens"] == 200
    assert limited["usd"] == f"{(limited['input_tokens'] * 1.5 + 200 * 6) / 1e6 + 0.01:.7f}".rstrip("0")


def test_what_it_will_probably_cost_goes_by_the_counted_input_and_by_the_last_answers(gate: GateProcess) -> None:
    key = gate.new_key(name="has a past")
    fresh = rehearsed(gate, key, BODY)["expected"]
    for _ in range(3):
        assert gate.call("POST", "/v1/chat/completions", key, BODY)[0] == 200
    gate.events_once(3)

    known = rehearsed(gate, key, BODY)["expected"]
    shorter = rehearsed(gate, key, BODY | {"max_tokens": 10})["expected"]

    assert fresh["output_tokens"] is None
    assert fresh["usd"] is None
    assert fresh["input_tokens"] == known["input_tokens"] == 12
    assert (known["output_tokens"], known["usd"]) == (40, "0.000258")
    assert shorter["output_tokens"] == 10


def test_other_paths_are_rehearsed_too(gate: GateProcess, key: str, upstream: ScriptedUpstream) -> None:
    sent = len(upstream.requests)
    status, _, answer = gate.call("GET", "/v1/files", key, None, x_tollkeeper_dry_run="1")

    assert status == 200
    assert json.loads(answer)["request"]["method"] == "GET"
    assert len(upstream.requests) == sent


def test_a_form_is_rehearsed_unread(gate: GateProcess, key: str, upstream: ScriptedUpstream) -> None:
    sent = len(upstream.requests)
    form = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\none\r\n--b\r\n'
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + b"x" * 500_000 + b"\r\n--b--\r\n"
    )
    headers = {"content_type": "multipart/form-data; boundary=b", "x_tollkeeper_dry_run": "1"}
    status, _, answer = gate.call("POST", "/v1/audio/transcriptions", key, form, **headers)

    assert status == 200
    assert json.loads(answer)["request"]["changed"] == {"model": "a"}
    assert len(upstream.requests) == sent
