"""/api/explain: a request's whole story, attempts, rules and money, with lines that add up to what was charged."""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess, request, running_gate
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-canary-0123456789"

[providers.broken]
kind = "openai"
base_url = "{broken}"

[models.alias]
targets = ["up/real-name"]
price = {{ input = 1.5, output = 2.000001, cached_input = 0.0000005, request = 0.001 }}

[models.two]
targets = ["broken/gone", "up/real-name"]
price = {{ input = 1, output = 2 }}

[models.free]
targets = ["up/free"]

[retry]
retries = 1
"""


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with ScriptedUpstream(json_answer(500, {"error": {"message": "no"}})) as broken:
        config = CONFIG.format(url=upstream.url, broken=broken.url)
        with running_gate(tmp_path_factory.mktemp("gate"), config) as running:
            yield running


@pytest.fixture(scope="module")
def key(gate: GateProcess) -> str:
    return gate.new_key(name="caller", owner="ann", team="red")


def ask(gate: GateProcess, key: str, model: str) -> str:
    """The request id of a call."""
    body = {"model": model, "messages": [{"role": "user", "content": "a secret word"}]}
    _, headers, _ = gate.call("POST", "/v1/chat/completions", key, body)
    return headers["x-request-id"]


def explained(gate: GateProcess, request_id: str, seconds: float = 30) -> dict[str, Any]:
    """The explanation, when there is one: what ends a call is written a moment later."""
    until = time.monotonic() + seconds
    while True:
        status, _, body = gate.operator("GET", f"/api/explain/{request_id}")
        told: dict[str, Any] = json.loads(body)
        if (status == 200 and told["state"] != "under way") or time.monotonic() > until:
            assert status == 200, body
            return told
        time.sleep(0.02)


def test_who_asks_as_soon_as_the_answer_is_there_is_told_its_end(gate: GateProcess, key: str) -> None:
    states = []
    for model in ["alias"] * 10 + ["nowhere"] * 3:
        status, _, body = gate.operator("GET", f"/api/explain/{ask(gate, key, model)}")
        states.append(json.loads(body).get("state", status))

    # A disk that stalls for longer than is waited may take one of them.
    assert states.count("done") >= 8, states
    assert states.count("refused") >= 2, states


def open_requests(gate: GateProcess) -> list[str]:
    """The ids of those that have a hold."""
    with contextlib.closing(sqlite3.connect(gate.home / "tollkeeper.db")) as store:
        return [row[0] for row in store.execute("SELECT request_id FROM holds")]


def test_a_call_is_explained_to_the_last_nano_dollar(gate: GateProcess, key: str, upstream: ScriptedUpstream) -> None:
    answer = chat_answer(prompt_tokens=1001, completion_tokens=7)
    answer["usage"]["prompt_tokens_details"] = {"cached_tokens": 400}
    upstream.script = json_answer(200, answer)

    told = explained(gate, ask(gate, key, "alias"))

    assert told["state"] == "done"
    assert told["key"] | {"id": ""} == {"id": "", "name": "caller", "owner": "ann", "team": "red"}
    assert told["asked"] == {"operation": "chat", "dialect": "openai_chat", "model": "alias", "streamed": False}
    assert told["targets"] == [{"target": "up/real-name", "chosen": True, "reason": "the only one"}]
    [attempt] = told["attempts"]
    assert (attempt["outcome"], attempt["status"], attempt["error_code"]) == ("ok", 200, None)
    assert 0 < attempt["first_byte_ms"] <= attempt["duration_ms"]
    assert attempt["overhead_ms"] > 0
    cost = attempt["cost"]
    assert [(line["kind"], line["count"]) for line in cost["lines"]] == [
        ("input", 601),
        ("cached_input", 400),
        ("output", 7),
        ("request", 1),
    ]
    assert cost["lines"][0] == {"kind": "input", "count": 601, "usd_per_million": "1.5", "usd": "0.0009015"}
    assert cost["lines"][3] == {"kind": "request", "count": 1, "usd_each": "0.001", "usd": "0.001"}
    total = sum(Decimal(line["usd"]) for line in cost["lines"]) + Decimal(cost["rounding_usd"])
    assert total == Decimal(cost["usd"]) == Decimal(told["cost_usd"])
    assert cost["rounding_usd"] != "0"
    assert cost["adds_up"] is True
    assert "secret word" not in json.dumps(told)
    assert "sk-canary" not in json.dumps(told)


def test_every_attempt_is_told_with_why_it_went_there(gate: GateProcess, key: str, upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer())

    told = explained(gate, ask(gate, key, "two"))

    assert [(attempt["provider"], attempt["outcome"], attempt["status"]) for attempt in told["attempts"]] == [
        ("broken", "upstream_error", 500),
        ("up", "ok", 200),
    ]
    assert [target["target"] for target in told["targets"]] == ["broken/gone", "up/real-name"]
    assert all(target["reason"] for target in told["targets"])
    assert told["attempts"][0]["cost"]["why"] == "nothing that is charged for came back"
    assert told["attempts"][1]["cost"]["adds_up"] is True


def test_an_unknown_price_is_said_to_be_unknown(gate: GateProcess, key: str, upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer())

    told = explained(gate, ask(gate, key, "free"))

    assert told["unpriced"] == 1
    assert told["attempts"][0]["cost"]["usd"] is None
    assert "no price is known" in told["attempts"][0]["cost"]["why"]


def test_a_refused_call_is_explained_too(gate: GateProcess, key: str) -> None:
    told = explained(gate, ask(gate, key, "up/"))

    assert told["state"] == "refused"
    assert told["attempts"] == []
    assert (told["refusal"]["status"], told["refusal"]["code"]) == (404, "model_not_found")
    assert told["key"] | {"id": ""} == {"id": "", "name": "caller", "owner": "ann", "team": "red"}


def test_a_refusal_by_a_limit_has_its_numbers(gate: GateProcess) -> None:
    limited = gate.new_key(name="limited", limits=["1 requests/hour burst 1"])
    ask(gate, limited, "alias")

    told = explained(gate, ask(gate, limited, "alias"))

    assert told["refusal"]["code"] == "rate_limit_exceeded"
    [rule] = told["rules"]
    assert rule["rule"] == "limit"
    assert rule["id"].endswith(":requests:3600")
    assert (rule["amount"], rule["remaining_before"], rule["taken"]) == (1, 0, 0)


def test_a_refusal_by_the_ledger_is_kept_when_that_can_be_written_again(gate: GateProcess, key: str) -> None:
    with contextlib.closing(sqlite3.connect(gate.home / "tollkeeper.db", isolation_level=None, timeout=30)) as store:
        store.execute("CREATE TRIGGER full BEFORE INSERT ON holds BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
        try:
            request_id = ask(gate, key, "alias")
        finally:
            store.execute("DROP TRIGGER full")

    told = explained(gate, request_id)

    assert (told["state"], told["refusal"]["status"], told["refusal"]["code"]) == ("refused", 503, "ledger_unavailable")


def test_a_stranger_who_is_refused_is_not_kept(gate: GateProcess) -> None:
    request_id = ask(gate, "tk-unknown", "alias")
    kept = ask(gate, gate.new_key(name="known"), "up/")
    explained(gate, kept)

    assert gate.operator("GET", f"/api/explain/{request_id}")[0] == 404


def test_a_call_under_way_is_said_to_be_under_way(gate: GateProcess, key: str, upstream: ScriptedUpstream) -> None:
    asked, go = threading.Event(), threading.Event()

    def wait(asking: Request, connection: Connection) -> bool | None:
        asked.set()
        go.wait(30)
        return json_answer(200, chat_answer())(asking, connection)

    upstream.script = wait
    caller = threading.Thread(target=ask, args=(gate, key, "alias"))
    caller.start()
    try:
        assert asked.wait(30)
        [request_id] = open_requests(gate)
        _, _, body = gate.operator("GET", f"/api/explain/{request_id}")
    finally:
        go.set()
        caller.join()
    told = json.loads(body)

    assert told["state"] == "under way"
    assert told["attempts"] == []
    [hold] = told["under_way"]
    assert (hold["provider"], hold["model"], hold["attempt"]) == ("up", "real-name", 1)
    assert hold["started"] < hold["expires"]
    assert explained(gate, request_id)["state"] == "done"


@pytest.mark.parametrize("request_id", ["x", "0" * 31, "g" * 32, "0" * 33, "%00" * 8])
def test_what_is_no_id_is_said_to_be_none(gate: GateProcess, request_id: str) -> None:
    status, _, body = gate.operator("GET", f"/api/explain/{request_id}")

    assert status == 400
    assert json.loads(body)["error"]["code"] == "invalid_value"


def test_an_id_that_nobody_had_is_not_found(gate: GateProcess) -> None:
    status, _, body = gate.operator("GET", f"/api/explain/{'0' * 32}")

    assert status == 404
    assert json.loads(body)["error"]["code"] == "request_not_found"


def test_those_refused_too_often_are_counted_and_few_are_kept(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    config = CONFIG.format(url=upstream.url, broken=upstream.url) + "\n[ledger]\nrefusals_per_second = 5\n"
    with running_gate(tmp_path, config) as busy:
        limited = busy.new_key(models=["none"])
        began = time.monotonic()
        for _ in range(200):
            ask(busy, limited, "alias")
        most = 5 + 5 * (time.monotonic() - began) + 1
        text = busy.operator("GET", "/metrics")[2].decode()
        assert busy.stop() == 0
        with contextlib.closing(sqlite3.connect(busy.home / "tollkeeper.db")) as store:
            [(rows,)] = store.execute("SELECT count(*) FROM refusals")

    assert 5 <= rows <= most
    assert 'tollkeeper_refusals_total{code="model_not_found"} 200.0' in text
    assert f"tollkeeper_refusals_unwritten_total {200.0 - rows}" in text


def test_strangers_learn_nothing(gate: GateProcess, key: str) -> None:
    status, _, _ = request("GET", f"{gate.operator_url}/api/explain/{'0' * 32}", {"x-api-key": key})

    assert status == 401
