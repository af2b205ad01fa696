"""Declared APIs through the real door: what the model is asked, what the caller gets, and how a bad end looks."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import CONFIG
from kit.gate import GateProcess, running_gate
from kit.scripted import (
    ScriptedUpstream,
    chat_answer,
    json_answer,
)

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def sent(upstream: ScriptedUpstream) -> Any:
    return upstream.requests[-1].json()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_a_chat_request_by_curl_is_answered_with_a_json_string(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    said = '{"model":"alias","messages":[{"role":"user","content":"Hello"}],"max_tokens":1000,"temperature":1.0}'
    command = ["curl", "-s", "-X", "POST", f"{gate.url}/hogehoge", "-H", f"Authorization: Bearer {key}", "-d", said]

    done = subprocess.run(command, capture_output=True, timeout=30, check=True)

    assert done.stdout == b'"Answer: Hi"'
    assert sent(upstream) == {**json.loads(said), "model": "real-name"}


def test_the_whole_history_and_every_parameter_go_to_the_model_as_they_came(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    history = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello", "name": "ada"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "and?"}]},
    ]
    body = json.dumps({"model": "gpt-4o-mini", "messages": history, "seed": 7, "own": {"x": [1.50]}}).encode()

    status, headers, answer = gate.call("POST", "/hogehoge", key, body)

    assert (status, answer) == (200, b'"Answer: Hi"')
    assert upstream.requests[-1].body == body
    assert headers["content-type"] == "application/json"
    event = gate.event(headers["x-request-id"])
    assert (event["input_tokens"], event["output_tokens"], event["outcome"]) == (9, 3, "ok")
    assert headers["x-tollkeeper-cost"] == event["cost_usd"]


def test_a_request_without_a_model_gets_the_apis_own(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    status, _, _ = gate.call("POST", "/hogehoge", key, HELLO)

    assert status == 200
    assert sent(upstream) == {**HELLO, "model": "gpt-4o-mini"}


def test_an_api_without_a_model_wants_one_in_the_request(gate: GateProcess, key: str) -> None:
    status, _, body = gate.call("POST", "/any-model", key, HELLO)
    asked, _, _ = gate.call("POST", "/any-model", key, {**HELLO, "model": "gpt-4o-mini"})

    assert (status, json.loads(body)["error"]["code"]) == (400, "missing_required_parameter")
    assert asked == 200


def test_a_key_that_may_not_use_a_model_may_not_through_an_api(gate: GateProcess) -> None:
    walled = gate.new_key(name="walled", models=["alias"])

    refused, _, body = gate.call("POST", "/hogehoge", walled, HELLO)
    allowed, _, _ = gate.call("POST", "/hogehoge", walled, {**HELLO, "model": "alias"})

    assert (refused, json.loads(body)["error"]["code"]) == (404, "model_not_found")
    assert allowed == 200


def test_limits_of_a_key_hold_for_an_api(gate: GateProcess) -> None:
    limited = gate.new_key(name="limited", limits=["1 requests/hour"])

    assert gate.call("POST", "/hogehoge", limited, HELLO)[0] == 200
    status, headers, body = gate.call("POST", "/plain", limited, {"text": "x"})

    assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "retry-after" in headers


def test_fields_fill_the_templates_and_missing_ones_their_defaults(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    status, _, answer = gate.call("POST", "/v2/guide", key, {"topic": "cats", "words": 5, "model": "alias"})

    assert (status, answer) == (200, b'"CATS: Hi!"')
    assert sent(upstream) == {
        "messages": [
            {"role": "system", "content": "You guide through Rome."},
            {"role": "user", "content": "Tell of cats in 5 words."},
        ],
        "temperature": 0.5,
        "max_tokens": 50,
        "model": "real-name",
    }


def test_what_a_caller_writes_is_no_template(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    said = "{{ 7 * 7 }}{% raw %} \u2028 \"'"

    gate.call("POST", "/plain", key, {"text": said})

    assert sent(upstream)["messages"] == [{"role": "user", "content": f"Translate {said}"}]


def test_an_answer_of_a_prompt_is_the_text_alone_where_no_template_says_otherwise(gate: GateProcess, key: str) -> None:
    assert gate.call("POST", "/plain", key, {"text": "x"})[2] == b'"Hi"'


def test_an_input_without_a_prompt_goes_to_the_model_as_json(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    gate.call("POST", "/fields", key, {"a": 1, "b": ["x"]})

    assert json.loads(sent(upstream)["messages"][0]["content"]) == {"a": 1, "b": ["x"]}


def test_own_instructions_and_parameters_go_with_a_chat_request(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    gate.call("POST", "/greeted", key, HELLO)
    first = sent(upstream)
    gate.call("POST", "/greeted", key, {**HELLO, "max_tokens": 9})

    assert first["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO["messages"]]
    assert first["max_tokens"] == 7
    assert sent(upstream)["max_tokens"] == 9


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("/v2/guide", {}, 400, "missing_required_parameter", "topic"),
        ("/v2/guide", {"topic": 1}, 400, "invalid_type", "topic"),
        ("/v2/guide", {"topic": "x", "words": 0}, 400, "invalid_value", "words"),
        ("/v2/guide", {"topic": "x", "place": None}, 400, "invalid_type", "place"),
        ("/v2/guide", {"topic": "x", "more": 1}, 400, "unknown_parameter", "more"),
        ("/v2/guide", {"topic": "x", "model": 1}, 400, "invalid_type", "model"),
        ("/v2/guide", {"topic": "x", "model": "nope"}, 404, "model_not_found", "model"),
        ("/v2/guide", {"topic": "x", "stream": "yes"}, 400, "invalid_type", "stream"),
        ("/plain", {}, 400, "missing_required_parameter", "text"),
        ("/plain", {"text": "x", "y": 1}, 400, "unknown_parameter", "y"),
        ("/hogehoge", {}, 400, "missing_required_parameter", "messages"),
        ("/hogehoge", {"messages": []}, 400, "invalid_value", "messages"),
        ("/hogehoge", {"messages": "Hello"}, 400, "invalid_type", "messages"),
        ("/hogehoge", {"messages": [{"content": "x"}]}, 400, "missing_required_parameter", "messages[0].role"),
        ("/hogehoge", {**HELLO, "max_tokens": "many"}, 400, "invalid_type", "max_tokens"),
        ("/hogehoge", b"{", 400, "invalid_json", None),
        ("/hogehoge", b"[]", 400, "invalid_json", None),
        ("/hogehoge", b'{"messages":[],"messages":[]}', 400, "invalid_json", None),
        ("/hogehoge", b'{"x":"\xff"}', 400, "invalid_json", None),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_where_and_no_model_is_asked(
    path: str,
    body: Any,
    status: int,
    code: str,
    param: str | None,
    gate: GateProcess,
    upstream: ScriptedUpstream,
    key: str,
) -> None:
    before = len(upstream.requests)

    got, headers, answer = gate.call("POST", path, key, body)

    error = json.loads(answer)["error"]
    assert (got, error["code"], error["param"]) == (status, code, param)
    assert set(error) == {"message", "type", "param", "code"}
    assert len(headers["x-request-id"]) == 32
    assert len(upstream.requests) == before


def test_only_posts_of_json_with_a_key_are_answered(gate: GateProcess, key: str) -> None:
    got, headers, _ = gate.call("GET", "/hogehoge", key)
    keyless, _, _ = gate.call("POST", "/hogehoge", "tk-wrong", HELLO)
    form, _, _ = gate.call("POST", "/hogehoge", key, b"x", content_type="multipart/form-data; boundary=b")

    assert (got, headers["allow"], keyless, form) == (405, "POST", 401, 415)


# --- what the provider says -----------------------------------------------------------------------------------------


def test_a_providers_refusal_passes_with_its_status(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = json_answer(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})

    status, _, answer = gate.call("POST", "/hogehoge", key, HELLO)

    assert (status, json.loads(answer)["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("body", [{"choices": []}, {"choices": [{"message": 1}]}, {"x": 1}])
def test_an_answer_that_is_none_of_a_chat_is_an_upstreams_error(
    body: Any, gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, body)

    status, _, answer = gate.call("POST", "/hogehoge", key, HELLO)

    assert (status, json.loads(answer)["error"]["code"]) == (502, "upstream_bad_answer")


def test_a_dry_run_of_an_api_tells_what_would_be_done(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    before = len(upstream.requests)

    status, _, answer = gate.call("POST", "/plain", key, {"text": "x"}, x_tollkeeper_dry_run="1")

    told = json.loads(answer)
    assert (status, told["dry_run"], told["admitted"]) == (200, True, True)
    assert len(upstream.requests) == before


def test_an_idempotency_key_makes_a_retry_the_same_answer(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    first = gate.call("POST", "/hogehoge", key, HELLO, idempotency_key="k1")
    upstream.script = json_answer(200, chat_answer("Other"))
    again = gate.call("POST", "/hogehoge", key, HELLO, idempotency_key="k1")

    assert first[2] == again[2] == b'"Answer: Hi"'
    assert again[1]["idempotent-replayed"] == "true"


# --- the config changes ---------------------------------------------------------------------------------------------


def test_apis_come_change_and_go_with_the_config(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    base = CONFIG.format(url=upstream.url)
    with running_gate(tmp_path, base) as gate:
        key = gate.new_key(name="k")
        log = '\n[log]\nformat = "json"\n'

        def becomes(text: str, path: str, wanted: bytes) -> bool:
            gate.config.write_text(base + log + text, "utf-8")
            until = time.monotonic() + 20
            while wanted not in gate.call("POST", path, key, HELLO)[2]:
                if time.monotonic() > until:
                    return False
                time.sleep(0.05)
            return True

        assert becomes('[apis.new]\nmodel = "alias"\n', "/new", b"Answer: Hi")
        assert becomes('[apis.new]\nmodel = "alias"\nanswer = "{{ text }}?"\n', "/new", b"Hi?")
        gate.config.write_text(base + log + '[apis.new]\nanswer = "{{"\n', "utf-8")
        while "config_refused" not in gate.log():
            time.sleep(0.05)
        assert gate.call("POST", "/new", key, HELLO)[2] == b'"Hi?"'
        assert becomes("", "/new", b"chat.completion")
