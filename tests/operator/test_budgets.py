"""Budgets through the door: shown, refused in the envelope, changed while the gate runs, never held for nobody."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
leave = "cancel"
timeouts = {{ connect = 1, first_byte = 2, idle = 2, total = 10 }}
[retry]
retries = 0
[health]
failures = 1000
[models.m]
targets = ["up/gpt-4o-mini"]
price = {{ input = 1, output = 1 }}
[models.dear]
targets = ["up/of-unknown-price", {{ target = "up/gpt-4o-mini", price = {{ input = 1, output = 1 }} }}]
[models.lost]
targets = ["nowhere/m"]
price = {{ input = 1, output = 1 }}
[providers.nowhere]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key = "sk-x"
"""
ASK = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, chat_answer())) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


def _rows(gate: GateProcess, name: str) -> list[dict[str, Any]]:
    status, _, body = gate.operator("GET", "/api/budgets")
    assert status == 200, body
    return [row for row in json.loads(body)["data"] if row["name"] == name]


def _becomes(question: Callable[[], bool], seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while not question():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _call(gate: GateProcess, key: str, **changes: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    status, headers, body = gate.call("POST", "/v1/chat/completions", key, {**ASK, **changes})
    return status, headers, json.loads(body)


def test_every_budget_is_shown_with_what_is_spent_held_left_and_when_it_renews(gate: GateProcess) -> None:
    key = gate.new_key(name="shown", budgets=["1 USD/day", "0.5 USD/day soft", "2000 tokens"])
    assert _call(gate, key)[0] == 200

    hard, soft, tokens = sorted(
        _rows(gate, "shown"), key=lambda row: (row["unit"] == "tokens", "soft" in row["budget"])
    )

    assert (hard["budget"], hard["scope"], hard["unit"]) == ("1 USD/day", "key", "usd")
    assert (hard["amount"], hard["spent"], hard["held"], hard["left"]) == ("1", "0.000012", "0", "0.999988")
    assert (soft["budget"], soft["spent"], soft["left"]) == ("0.5 USD/day soft", "0.000012", "0.499988")
    assert (tokens["spent"], tokens["left"], tokens["since"], tokens["renews"]) == ("12", "1988", None, None)
    assert hard["renews"].endswith("T00:00:00Z")
    assert hard["since"] < hard["renews"]


def test_a_revoked_keys_budget_is_not_shown(gate: GateProcess) -> None:
    gate.new_key(name="gone", budgets=["1 USD/day"])
    assert len(_rows(gate, "gone")) == 1

    gate.operator("DELETE", "/api/keys/gone")

    assert _rows(gate, "gone") == []


def test_a_refusal_is_in_the_callers_envelope_and_nothing_is_sent(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    key = gate.new_key(budgets=["0.0001 USD/month"])
    before = len(upstream.requests)

    status, headers, body = _call(gate, key)

    assert (status, headers["x-should-retry"]) == (429, "false")
    assert (body["error"]["type"], body["error"]["code"]) == ("insufficient_quota", "budget_exceeded")
    assert "The budget of this key is 0.0001 USD/month" in body["error"]["message"]
    assert len(upstream.requests) == before


def test_a_changed_budget_counts_soon_and_what_is_spent_stays(gate: GateProcess) -> None:
    key = gate.new_key(name="changed", budgets=["0.0001 USD/month"])
    assert _call(gate, key)[0] == 429

    gate.operator("PATCH", "/api/keys/changed", {"budgets": ["1 USD/month"]})
    assert _call(gate, key)[0] == 200
    gate.command("keys", "change", "changed", "--budget", "0.00001 USD/month")

    assert _becomes(lambda: _call(gate, key)[0] == 429)
    [row] = _rows(gate, "changed")
    assert (row["amount"], float(row["spent"]) > 0, row["left"]) == ("0.00001", True, "0")


def test_a_budget_of_the_config_counts_soon_and_what_was_spent_before_it_counts(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    config = CONFIG.format(url=upstream.url)
    with running_gate(tmp_path, config) as gate:
        key = gate.new_key(team="t")
        for _ in range(3):
            assert _call(gate, key)[0] == 200

        gate.config.write_text(config + '[budgets.teams]\nt = ["0.00046 USD/day"]\n', "utf-8")

        assert _becomes(lambda: _call(gate, key)[0] == 429)
        rows = json.loads(gate.operator("GET", "/api/budgets")[2])["data"]
        assert [(row["scope"], row["of"]) for row in rows] == [("team", "t")]
        assert Decimal(rows[0]["spent"]) == Decimal(12 * len(gate.events())) / 10**6
        gate.config.write_text(config + '[budgets.teams]\nt = ["nonsense"]\n', "utf-8")
        assert _becomes(lambda: "config_refused" in gate.log())
        assert _call(gate, key)[0] == 429


def test_what_a_provider_refuses_and_what_cannot_be_reached_is_given_back(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    key = gate.new_key(name="failing", budgets=["1 USD/day", "100000 tokens"])
    try:
        for script in (
            json_answer(500, {"error": {"message": "no"}}),
            json_answer(400, {"error": {"message": "no"}}),
            json_answer(401, {"error": {"message": "no"}}),
            json_answer(200, b"not json"),
            lambda request, connection: connection.reset(),
        ):
            upstream.script = script
            assert _call(gate, key)[0] >= 400
    finally:
        upstream.script = json_answer(200, chat_answer())
    assert _call(gate, key, model="lost")[0] == 502

    assert _becomes(lambda: [row["held"] for row in _rows(gate, "failing")] == ["0", "0"])


def test_a_client_that_leaves_before_its_answer_holds_nothing_in_the_end(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    key = gate.new_key(name="leaver", budgets=["1 USD/day"])
    arrived, release = threading.Event(), threading.Event()

    def script(request: Request, connection: Connection) -> None:
        arrived.set()
        release.wait(30)

    upstream.script = script
    try:
        with RawClient(gate.port) as client:
            client.post("/v1/chat/completions", key, ASK)
            assert arrived.wait(30)
            assert _becomes(lambda: _rows(gate, "leaver")[0]["held"] != "0")
        assert _becomes(lambda: _rows(gate, "leaver")[0]["held"] == "0")
    finally:
        release.set()
        upstream.script = json_answer(200, chat_answer())


def test_a_ledger_that_cannot_be_written_leaves_nothing_held(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    with running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key(name="k", budgets=["1 USD/day"])
        assert _call(gate, key)[0] == 200
        store = sqlite3.connect(gate.home / "tollkeeper.db", isolation_level=None, timeout=10)
        store.execute("CREATE TRIGGER full BEFORE INSERT ON holds BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")

        refused = [_call(gate, key) for _ in range(3)]
        held = _rows(gate, "k")[0]["held"]
        store.execute("DROP TRIGGER full")
        store.close()

        assert {status for status, _, _ in refused} == {503}
        assert held == "0"
        assert _becomes(lambda: _call(gate, key)[0] == 200)
        assert _becomes(lambda: Decimal(_rows(gate, "k")[0]["spent"]) == Decimal(12 * len(gate.events())) / 10**6)


@pytest.mark.row(61)
def test_eight_first_calls_at_once_of_a_key_that_was_never_seen_share_its_budget(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    release = threading.Event()

    def script(request: Request, connection: Connection) -> bool:
        release.wait(30)
        return bool(json_answer(200, chat_answer("x", 340, 100))(request, connection))

    upstream.script = script
    key = gate.new_key(name="fresh", budgets=["0.0009 USD/day"])
    ended: list[int] = []
    callers = [threading.Thread(target=lambda: ended.append(_call(gate, key)[0])) for _ in range(8)]
    try:
        for caller in callers:
            caller.start()
        assert _becomes(lambda: len(ended) == 6)
    finally:
        release.set()
        for caller in callers:
            caller.join(30)
        upstream.script = json_answer(200, chat_answer())

    assert sorted(ended) == [200, 200] + [429] * 6
    [row] = _rows(gate, "fresh")
    assert (row["spent"], row["held"]) == ("0.00088", "0")


def test_budgets_are_what_they_were_after_a_restart(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    with running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key(name="k", budgets=["0.0005 USD/month", "1 USD"])
        assert _call(gate, key)[0] == 200
        assert _becomes(lambda: len(gate.events()) == 1)
        before = _rows(gate, "k")
        gate.stop()
        gate.start()
        assert _rows(gate, "k") == before
        assert [row["spent"] for row in before] == ["0.000012", "0.000012"]
        assert gate.command("budgets", "--config", str(gate.config)) == before


def test_responses_and_completions_are_clamped_in_their_own_fields(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    key = gate.new_key(budgets=["0.002 USD/day"])

    gate.call("POST", "/v1/responses", key, {"model": "m", "input": "hi"})
    response = upstream.requests[-1].json()
    gate.call("POST", "/v1/completions", key, {"model": "m", "prompt": ["a", "b"]})
    completion = upstream.requests[-1].json()
    gate.call("POST", "/v1/embeddings", key, {"model": "m", "input": "hi"})
    embedding = upstream.requests[-1].json()

    assert 1000 < response["max_output_tokens"] < 2000
    assert 500 < completion["max_tokens"] < 1000
    assert embedding == {"model": "gpt-4o-mini", "input": "hi"}


def test_refusals_warnings_and_overdrafts_are_counted(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(name="counted", budgets=["0.001 USD/day", "0.00001 USD/day soft"])
    upstream.script = json_answer(200, chat_answer("x", 2000, 2000))
    try:
        assert _call(gate, key)[0] == 200
    finally:
        upstream.script = json_answer(200, chat_answer())
    assert _call(gate, key)[0] == 429

    text = gate.operator("GET", "/metrics")[2].decode()
    counted = {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("tollkeeper_budget_")}
    assert 'tollkeeper_budget_overdrafts_total{scope="key"}' in counted
    assert 'tollkeeper_budget_warnings_total{scope="key"}' in counted
    assert 'tollkeeper_budget_refusals_total{code="budget_exceeded",scope="key"}' in counted
    assert gate.log().count('"budget_warning","budget":"key:') >= 1
    [event] = [event for event in gate.events() if event["cost_usd"] == "0.004"]
    assert [note[0] for note in event["trace"]].count("overdraft") == 1


def test_a_target_of_unknown_price_is_passed_over_where_another_ones_is_known(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    bounded, free = gate.new_key(budgets=["1 USD"]), gate.new_key()

    status, headers, _ = _call(gate, bounded, model="dear")

    assert (status, headers["x-tollkeeper-model"]) == (200, "up/gpt-4o-mini")
    event = gate.event(headers["x-request-id"])
    assert ["skipped", "up/of-unknown-price", "price_unknown"] in event["trace"]
    assert (event["attempt"], event["cost_usd"]) == (1, "0.000012")
    assert _call(gate, free, model="dear")[1]["x-tollkeeper-model"] == "up/of-unknown-price"
