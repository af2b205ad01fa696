"""Whole answers from the cache, through the real door: what is the same, whose it is, how long it lasts, what it costs."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kit.caching import CONFIG, COST, ask, body, told
from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(autouse=True)
def answering(upstream: ScriptedUpstream) -> None:
    """Every test begins with an upstream that answers well and has counted nothing."""
    upstream.script = json_answer(200, chat_answer())
    upstream.requests.clear()


def test_the_second_of_two_equal_calls_costs_nothing_and_says_what_it_saved(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    key = gate.new_key()

    first, second = ask(gate, key, "twice"), ask(gate, key, "twice")

    assert (told(first), told(second)) == ("stored", "hit")
    assert len(upstream.requests) == 1
    assert second[2] == first[2]
    assert second[1]["content-type"] == first[1]["content-type"]
    assert (first[1]["x-tollkeeper-cost"], second[1]["x-tollkeeper-cost"]) == (COST, "0")
    assert second[1]["x-tollkeeper-model"] == "up/real"
    assert second[1]["x-tollkeeper-attempts"] == "0"
    assert int(second[1]["age"]) < 5
    event = gate.event(second[1]["x-request-id"])
    assert (event["outcome"], event["cost_usd"], event["saved_usd"]) == ("cached", "0", COST)
    assert (event["provider"], event["model"], event["model_used"]) == ("up", "real", "gpt-4o-mini-2024-07-18")
    assert (event["input_tokens"], event["output_tokens"], event["status"]) == (0, 0, 200)
    assert event["trace"] == [["cache", "hit", 15000]]
    assert gate.event(first[1]["x-request-id"])["cost_usd"] == COST


def test_usage_tells_how_many_were_answered_so_and_what_that_saved(gate: GateProcess) -> None:
    key = gate.new_key(name="saver", owner="saver")
    for _ in range(4):
        ask(gate, key, "saved")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        rows = {row["owner"]: row for row in gate.command("usage", "--by", "owner")}
        if rows.get("saver", {}).get("requests") == 4:
            break
        time.sleep(0.02)

    row = rows["saver"]

    assert (row["requests"], row["cached_requests"], row["cost_usd"]) == (4, 3, COST)
    assert row["saved_usd"] == "0.000045"
    assert (row["input_tokens"], row["output_tokens"]) == (9, 3)
    assert gate.command("verify")["problems"] == []


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"messages": [{"role": "user", "content": "other"}]},
        {"messages": [{"role": "system", "content": "base"}]},
        {"n": 2},
        {"seed": 1},
        {"max_tokens": 5},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"unknown": None},
        {"model": "brief"},
    ],
)
def test_another_request_is_another_answer(
    gate: GateProcess, upstream: ScriptedUpstream, other: dict[str, Any]
) -> None:
    key = gate.new_key()
    ask(gate, key, "base")

    answer = gate.call("POST", "/v1/chat/completions", key, {**body("base"), **other})

    assert told(answer) == "stored"
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "same",
    [
        b'{"model":"kept","messages":[{"role":"user","content":"same"}]}',
        b'{ "messages" : [ {"role": "user",\n"content":"same"} ],\t"model": "kept"}',
        b'{"model":"kept","messages":[{"role":"user","content":"same"}],"user":"ada"}',
        b'{"model":"kept","messages":[{"role":"user","content":"same"}],"metadata":{"run":"7"},"stream":false}',
        b'{"model":"kept","messages":[{"role":"user","content":"same"}],"prompt_cache_key":"a","safety_identifier":"b"}',
    ],
)
def test_what_cannot_change_the_answer_makes_no_other_request(
    gate: GateProcess, upstream: ScriptedUpstream, same: bytes
) -> None:
    key = gate.new_key()
    ask(gate, key, "same")

    assert told(gate.call("POST", "/v1/chat/completions", key, same, x_stainless_retry_count="3")) == "hit"
    assert told(gate.call("POST", "/v1/chat/completions", key, same, openai_beta="new=1")) == "stored"


def test_the_order_inside_a_schema_matters_as_models_answer_in_it(gate: GateProcess) -> None:
    key = gate.new_key()
    one, two = {"a": {"type": "string"}, "b": {}}, {"b": {}, "a": {"type": "string"}}
    ask(gate, key, "schema", response_format={"type": "json_schema", "schema": one})

    assert told(ask(gate, key, "schema", response_format={"type": "json_schema", "schema": two})) == "stored"


def test_an_answer_is_given_again_until_its_time_is_over(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()
    ask(gate, key, "expiring", "brief")
    assert told(ask(gate, key, "expiring", "brief")) == "hit"

    time.sleep(1.6)

    assert told(ask(gate, key, "expiring", "brief")) == "stored"
    assert len(upstream.requests) == 2


@pytest.mark.row(53)
def test_tenants_do_not_see_each_other(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    red, red_too, blue = (gate.new_key(team=team, owner="ada") for team in ("red", "red", "blue"))
    ada, ada_too, bob = (gate.new_key(owner=owner) for owner in ("ada", "ada", "bob"))
    alone, alone_too = gate.new_key(), gate.new_key()
    named_like_a_team = gate.new_key(owner="red")

    told_in_turn = [
        told(ask(gate, key, "whose"))
        for key in (red, red_too, blue, ada, ada_too, bob, alone, alone_too, named_like_a_team)
    ]

    assert told_in_turn == ["stored", "hit", "stored", "stored", "hit", "stored", "stored", "stored", "stored"]
    assert len(upstream.requests) == 7


def test_what_is_shared_on_purpose_crosses_tenants(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    keys = [gate.new_key(team=team) for team in ("red", "blue", "green")]

    assert [told(ask(gate, key, "for all", "open")) for key in keys] == ["stored", "hit", "hit"]
    assert len(upstream.requests) == 1


def test_a_key_that_may_not_use_the_model_gets_nothing_from_memory(gate: GateProcess) -> None:
    ask(gate, gate.new_key(team="red"), "walled", "open")

    status, _, answer = ask(gate, gate.new_key(team="red", models=["plain"]), "walled", "open")

    assert (status, json.loads(answer)["error"]["code"]) == (404, "model_not_found")


def test_a_caller_opts_in_by_header_and_says_how_old_an_answer_may_be(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    key = gate.new_key()

    assert told(ask(gate, key, "asked", "plain")) is None
    assert told(ask(gate, key, "asked", "plain", "ttl=600")) == "stored"
    assert told(ask(gate, key, "asked", "plain", "TTL=600")) == "hit"
    assert told(ask(gate, key, "asked", "plain")) is None
    time.sleep(1.1)
    assert told(ask(gate, key, "asked", "plain", "ttl=1")) == "stored"
    assert len(upstream.requests) == 4


def test_no_store_neither_looks_nor_keeps(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()

    assert told(ask(gate, key, "secret", wish="no-store")) is None
    assert told(ask(gate, key, "secret")) == "stored"
    assert told(ask(gate, key, "secret", wish="no-store")) is None
    assert len(upstream.requests) == 3


def test_refresh_asks_anew_and_keeps_the_new_answer(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()
    ask(gate, key, "news")
    upstream.script = json_answer(200, chat_answer("Newer!"))

    assert b"Newer!" not in ask(gate, key, "news")[2]
    assert told(ask(gate, key, "news", wish="refresh")) == "stored"
    assert told(ask(gate, key, "news", wish="refresh, ttl=60")) == "stored"
    last = ask(gate, key, "news")
    assert (told(last), b"Newer!" in last[2]) == ("hit", True)
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("wish", ["ttl", "ttl=0", "ttl=-1", "ttl=1.5", "yes", "ttl=600; refresh", "ttl=99999999999"])
def test_a_wish_that_cannot_be_understood_is_refused(gate: GateProcess, upstream: ScriptedUpstream, wish: str) -> None:
    status, _, answer = ask(gate, gate.new_key(), "wish", "plain", wish)

    assert (status, json.loads(answer)["error"]["code"]) == (400, "invalid_value")
    assert upstream.requests == []


@pytest.mark.parametrize(
    "more",
    [
        {"store": True},
        {"web_search_options": {}},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "mcp", "server_url": "http://x"}]},
        {"tools": {"type": "function"}},
        {"plugins": [{"id": "web"}]},
    ],
)
def test_a_request_that_acts_or_looks_elsewhere_is_never_answered_from_memory(
    gate: GateProcess, upstream: ScriptedUpstream, more: dict[str, Any]
) -> None:
    key = gate.new_key()

    assert [told(ask(gate, key, "acting", **more)) for _ in range(2)] == [None, None]
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("path", "more", "kept"),
    [
        ("/v1/embeddings", {"input": "x"}, True),
        ("/v1/moderations", {"input": "x"}, True),
        ("/v1/completions", {"prompt": "x"}, True),
        ("/v1/responses", {"input": "x", "store": False}, True),
        ("/v1/responses", {"input": "x"}, False),
        ("/v1/responses", {"input": "x", "store": True}, False),
        ("/v1/responses", {"input": "x", "store": False, "previous_response_id": "resp_1"}, False),
        ("/v1/responses", {"input": "x", "store": False, "background": True}, False),
        ("/v1/responses", {"store": False, "prompt": {"id": "pmpt_1"}}, False),
        ("/v1/images/generations", {"prompt": "x"}, False),
        ("/v1/anything", {"input": "x"}, False),
    ],
)
def test_which_endpoints_are_answered_from_memory(
    gate: GateProcess, upstream: ScriptedUpstream, path: str, more: dict[str, Any], kept: bool
) -> None:
    key = gate.new_key()

    for _ in range(2):
        gate.call("POST", path, key, {"model": "kept", **more})

    assert len(upstream.requests) == (1 if kept else 2)


def test_another_s_metadata_is_not_in_ones_own_response(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()

    for user in ("ada", "bob", "ada"):
        gate.call("POST", "/v1/responses", key, {"model": "kept", "input": "x", "store": False, "user": user})

    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, {"error": {"message": "no", "type": "invalid_request_error"}}),
        (429, {"error": {"message": "slow down", "type": "rate_limit_error"}}),
        (500, {"error": {"message": "oh", "type": "server_error"}}),
        (201, chat_answer()),
        (200, {"error": {"message": "no credits left", "code": 402}}),
        (200, {"id": "resp_1", "status": "failed", "error": None}),
        (200, {"choices": [{"finish_reason": "error", "message": {"content": "half"}}]}),
        (200, chat_answer("long" * 1000)),
    ],
)
def test_what_failed_or_is_too_large_is_not_kept(
    gate: GateProcess, upstream: ScriptedUpstream, status: int, answer: Any
) -> None:
    upstream.script = json_answer(status, answer)
    key = gate.new_key()

    for _ in range(2):
        ask(gate, key, "failing")

    assert len(upstream.requests) == 2


def test_memory_is_bounded_and_the_answer_not_used_for_longest_goes_first(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, chat_answer("x" * 2500))
    key = gate.new_key()
    ask(gate, key, "used again and again")

    for number in range(40):
        ask(gate, key, f"filling {number}")
        assert told(ask(gate, key, "used again and again")) == "hit"

    assert told(ask(gate, key, "filling 39")) == "hit"
    assert told(ask(gate, key, "filling 0")) == "stored"


def test_what_cannot_be_recorded_is_not_given_free_or_not(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()
    ask(gate, key, "on record")
    with contextlib.closing(sqlite3.connect(gate.home / "tollkeeper.db", isolation_level=None, timeout=30)) as other:
        for table in ("holds", "events"):
            other.execute(
                f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        first = ask(gate, key, "not in memory")
        second = ask(gate, key, "on record")
        third = gate.call("POST", "/v1/chat/completions", key, body("on record"), idempotency_key="n-1")
        for table in ("holds", "events"):
            other.execute(f"DROP TRIGGER full_{table}")

    assert [answer[0] for answer in (first, second, third)] == [503, 503, 503]
    until = time.monotonic() + 30
    while (answer := ask(gate, key, "on record"))[0] == 503 and time.monotonic() < until:
        time.sleep(0.1)
    assert told(answer) == "hit"


def test_callers_may_be_denied_the_header(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> None:
    config = CONFIG.format(url=upstream.url).replace("[cache]", "[cache]\nheader = false")
    with running_gate(tmp_path_factory.mktemp("gate"), config) as gate:
        key = gate.new_key()

        assert [told(ask(gate, key, "x", "plain", "ttl=60")) for _ in range(2)] == [None, None]
        assert [told(ask(gate, key, "x", wish="no-store")) for _ in range(2)] == ["stored", "hit"]


def test_what_is_kept_follows_the_configuration_while_the_gate_runs(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> None:
    config = CONFIG.format(url=upstream.url)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as gate:
        key = gate.new_key()
        assert told(ask(gate, key, "x")) == "stored"

        gate.config.write_text(
            config.replace('[models.kept]\ntargets = ["up/real"]', '[models.kept]\ntargets = ["up/b"]')
        )
        until = time.monotonic() + 30
        while told(ask(gate, key, "x")) == "hit" and time.monotonic() < until:
            time.sleep(0.05)
        assert upstream.requests[-1].json()["model"] == "b"
        gate.config.write_text(config.replace("cache = { ttl = 3600 }", ""))
        until = time.monotonic() + 30
        while told(ask(gate, key, "x")) is not None and time.monotonic() < until:
            time.sleep(0.05)
        assert told(ask(gate, key, "x")) is None
