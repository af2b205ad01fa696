"""Answers from memory among the other rules: limits count them, budgets do not, and the gate's end cuts what is shared."""

import json
import signal
from collections.abc import Iterator

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)

CONFIG = """
[server]
shutdown_seconds = 1
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[models.kept]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
cache = {{ ttl = 3600 }}
"""


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(autouse=True)
def answering(upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer())
    upstream.requests.clear()


def ask(gate: GateProcess, key: str, content: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    body = {"model": "kept", "max_tokens": 50, "messages": [{"role": "user", "content": content}]}
    return gate.call("POST", "/v1/chat/completions", key, body, **headers)


def code(answer: tuple[int, dict[str, str], bytes]) -> str | None:
    return None if answer[0] == 200 else json.loads(answer[2])["error"]["code"]


def test_a_limit_counts_the_requests_but_gives_the_tokens_back(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(limits=["6 requests/hour burst 6", "400 tokens/hour burst 400"])

    answers = [ask(gate, key, "hello") for _ in range(7)]

    assert [code(answer) for answer in answers] == [None] * 6 + ["rate_limit_exceeded"]
    assert [answer[1]["x-tollkeeper-cache"] for answer in answers[:6]] == ["stored"] + ["hit"] * 5
    assert int(answers[5][1]["x-ratelimit-remaining-tokens"]) > 200
    assert answers[5][1]["x-ratelimit-remaining-requests"] == "0"


def test_a_budget_that_is_spent_still_lets_answers_from_memory_pass(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, chat_answer(completion_tokens=50))
    key = gate.new_key(budgets=["0.002 USD"])
    assert ask(gate, key, "known")[0] == 200
    number = 0
    while (refused := ask(gate, key, f"new {number}"))[0] == 200:
        number += 1
        assert number < 50

    assert code(refused) in ("budget_exceeded", "budget_held")
    for _ in range(5):
        assert ask(gate, key, "known")[1]["x-tollkeeper-cache"] == "hit"
    assert ask(gate, key, "known", idempotency_key="n-1")[0] == 200
    assert ask(gate, key, "known", idempotency_key="n-1")[1]["idempotent-replayed"] == "true"
    assert gate.command("verify")["problems"] == []


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("cut_short", [False, True])
def test_an_answer_that_one_caller_s_budget_cut_short_is_not_given_to_others(
    gate: GateProcess, upstream: ScriptedUpstream, cut_short: bool, streamed: bool
) -> None:
    def script(request: Request, connection: Connection) -> bool | None:
        asked = request.json()
        allowed = asked.get("max_completion_tokens") or asked.get("max_tokens") or 100
        used = allowed if cut_short else 3
        if streamed:
            return event_stream(b"".join(chat_events(["word"], usage_of(9, used))))(request, connection)
        return json_answer(200, chat_answer("word", completion_tokens=used))(request, connection)

    upstream.script = script
    team = f"{cut_short} {streamed}"
    poor, rich = gate.new_key(team=team, budgets=["0.002 USD"]), gate.new_key(team=team)
    body = {"model": "kept", "stream": streamed, "messages": [{"role": "user", "content": "at length"}]}

    first = gate.call("POST", "/v1/chat/completions", poor, body)
    second = gate.call("POST", "/v1/chat/completions", rich, body)

    assert first[1]["x-tollkeeper-clamped"].startswith("max_")
    assert (second[1]["x-tollkeeper-cache"] == "hit") != cut_short
    assert "x-tollkeeper-clamped" not in second[1]


def test_what_is_under_way_when_the_gate_ends_is_recorded_once(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(chat_events(["word"], None)[0])
        connection.wait_for_peer_to_close(20)

    key = gate.new_key()
    ask(gate, key, "well")
    upstream.script = script
    upstream.requests.clear()
    body = {"model": "kept", "stream": True, "messages": []}
    with RawClient(gate.port) as leader, RawClient(gate.port) as follower, RawClient(gate.port) as retried:
        leader.post("/v1/chat/completions", key, body)
        leader.read_until(b"word")
        follower.post("/v1/chat/completions", key, body)
        follower.read_until(b"word")
        retried.post("/v1/chat/completions", key, {**body, "n": 1}, "idempotency-key: n-1")
        retried.read_until(b"word")

        assert gate.stop(signal.SIGTERM) == 0

    gate.start()
    assert gate.about["recovered"] == 0
    assert [event["outcome"] for event in gate.events()[:4]] == [*["gate_stopped"] * 3, "ok"]
    assert len(upstream.requests) == 2
