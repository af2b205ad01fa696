"""Streams against what is held for them: they go on while there is room, and are stopped and charged where not."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_events, event_stream, usage_of

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[models.m]
targets = ["up/gpt-4o-mini"]
price = {{ input = 1, output = 1 }}
"""
WORDS = [f"word{number} " for number in range(4000)]
ASK = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "go"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(event_stream(b"")) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


class Endless:
    """Streams its events and never ends; says whether it was cut off."""

    def __init__(self, events: list[bytes], pace: float = 0.0) -> None:
        self.events = events
        self.pace = pace
        self.cut = threading.Event()

    def __call__(self, request: Request, connection: Connection) -> bool:
        connection.send(SSE_HEAD)
        for at in range(0, len(self.events), 5):
            if not connection.chunk(b"".join(self.events[at : at + 5])):
                break
            time.sleep(self.pace)
        if connection.wait_for_peer_to_close(20) is not None:
            self.cut.set()
        return False


def _ask(gate: GateProcess, key: str, **changes: Any) -> tuple[dict[str, str], list[dict[str, Any]], dict[str, Any]]:
    """Headers, the events that came, and the record."""
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=30)
    connection.request(
        "POST",
        "/v1/chat/completions",
        json.dumps({**ASK, **changes}),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    answer = connection.getresponse()
    assert answer.status == 200
    received = b""
    try:
        while piece := answer.read1(65536):
            received += piece
    except (http.client.IncompleteRead, ConnectionError, http.client.HTTPException):
        pass
    headers = {name.lower(): value for name, value in answer.getheaders()}
    connection.close()
    events = [json.loads(part[6:]) for part in received.decode().split("\n\n") if part.startswith("data: {")]
    return headers, events, gate.event(headers["x-request-id"])


def _standing(gate: GateProcess, name: str) -> dict[str, Any]:
    rows = json.loads(gate.operator("GET", "/api/budgets")[2])["data"]
    [row] = [row for row in rows if row["name"] == name]
    found: dict[str, Any] = row
    return found


@pytest.mark.parametrize("usage", [None, usage_of(10, 4000)])
def test_an_upstream_that_ignores_its_limit_is_stopped_where_the_budget_ends(
    gate: GateProcess, upstream: ScriptedUpstream, usage: Any
) -> None:
    upstream.script = script = Endless(chat_events(WORDS, usage))
    name = f"ends {usage is None}"
    key = gate.new_key(name=name, budgets=["0.0015 USD/day"])

    headers, events, record = _ask(gate, key)

    assert headers["x-tollkeeper-clamped"].startswith("max_completion_tokens=1")
    error = events[-1]["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    assert "this answer was stopped" in error["message"]
    assert (record["outcome"], record["error_code"]) == ("budget_spent", "budget_exceeded")
    assert record["quality"] == "counted"
    delivered = sum("content" in choice["delta"] for event in events for choice in event.get("choices", ()))
    assert delivered < 2500
    assert record["output_tokens"] >= delivered  # each word is two tokens or three
    assert script.cut.wait(30)
    assert _standing(gate, name)["held"] == "0"
    assert _standing(gate, name)["spent"] == record["cost_usd"]
    assert json.loads(gate.call("POST", "/v1/chat/completions", key, {**ASK, "max_tokens": 500})[2])["error"][
        "code"
    ] == ("budget_exceeded")


def test_what_a_stream_reports_as_it_goes_counts_before_it_is_seen(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    """A reasoning model bills what it does not show."""
    events = [
        b"data: %b\n\n"
        % json.dumps(
            {
                "id": "c",
                "object": "chat.completion.chunk",
                "model": "m",
                "choices": [{"index": 0, "delta": {"content": "hm "}, "finish_reason": None}],
                "usage": usage_of(10, 50 * number),
            }
        ).encode()
        for number in range(1, 400)
    ]
    upstream.script = script = Endless(events, 0.005)
    key = gate.new_key(name="thinker", budgets=["0.0015 USD/day"])

    _, _, record = _ask(gate, key)

    assert (record["outcome"], record["quality"]) == ("budget_spent", "reported")
    assert 1000 < record["output_tokens"] < 5000
    assert script.cut.wait(30)


def test_a_stream_that_keeps_to_its_limit_is_left_alone(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = event_stream(b"".join(chat_events(WORDS[:900], usage_of(10, 1000))), 1000)
    key = gate.new_key(name="keeps", budgets=["0.0015 USD/day"])

    _, events, record = _ask(gate, key, max_completion_tokens=1000)

    assert (record["outcome"], record["output_tokens"]) == ("ok", 1000)
    assert sum("content" in choice["delta"] for event in events for choice in event["choices"]) == 900
    assert _standing(gate, "keeps")["spent"] == "0.00101"


def test_letters_that_come_one_by_one_are_no_tokens(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    """Some servers send a character an event: more events than the limit has tokens."""
    upstream.script = event_stream(b"".join(chat_events(list("hello world, " * 150), usage_of(10, 600))), 1000)
    key = gate.new_key(name="letters", budgets=["0.0013 USD/day"])

    _, _, record = _ask(gate, key, max_completion_tokens=900)

    assert (record["outcome"], record["output_tokens"]) == ("ok", 600)


def test_more_is_held_while_there_is_room(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = event_stream(b"".join(chat_events(WORDS, usage_of(10, 9000))), 1000)
    key = gate.new_key(name="roomy", budgets=["1 USD/day"])

    _, _, record = _ask(gate, key, max_completion_tokens=100)

    assert (record["outcome"], record["output_tokens"]) == ("ok", 9000)
    assert [note[0] for note in record["trace"] if note[0] == "overdraft"] == ["overdraft"]
    assert _standing(gate, "roomy")["held"] == "0"


def test_an_adaptive_budget_stops_a_stream_that_runs_away(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(name="adaptive", budgets=["0.006 USD/day adaptive"])
    upstream.script = event_stream(b"".join(chat_events(["hi"], usage_of(10, 3))), 1000)
    for _ in range(9):
        _ask(gate, key, max_completion_tokens=1000)
    upstream.script = Endless(chat_events([*WORDS, *WORDS, *WORDS], None))

    headers, events, record = _ask(gate, key)

    assert record["outcome"] == "budget_spent"
    assert events[-1]["error"]["code"] == "budget_exceeded"
    assert "x-tollkeeper-clamped" in headers
    held = float(record["held_usd"])
    assert held < 0.006
