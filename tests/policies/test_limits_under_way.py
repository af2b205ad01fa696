"""Calls under way and calls in line, through the door: places are held, freed and given in turn."""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.limited import ASK, CONFIG, Asking, Held, ask, code, metric
from kit.raw import RawClient
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    json_answer,
    usage_of,
)
from kit.waiting import until


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(autouse=True)
def _answers_as_usual(upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer())


def test_a_place_is_held_until_the_answer_has_ended(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    held = upstream.script = Held()
    key = gate.new_key(limits=["1 concurrent"])
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, {**ASK, "stream": True})
        client.read_until(b"word")

        refused = ask(gate, key)
        assert (refused[0], refused[1]["retry-after"], refused[1]["retry-after-ms"]) == (429, "1", "1000")
        assert "under way" in json.loads(refused[2])["error"]["message"]
        held.go.set()
        client.read_until(b"0\r\n\r\n")

    until(lambda: ask(gate, key)[0] == 200)


@pytest.mark.parametrize("leave", ["drain", "cancel"])
def test_a_client_that_leaves_frees_its_place_when_its_call_is_over(leave: str, tmp_path: Path) -> None:
    held = Held()
    config = CONFIG.replace("api_key", f'leave = "{leave}"\napi_key', 1)
    with ScriptedUpstream(held) as upstream, running_gate(tmp_path, config.format(url=upstream.url)) as gate:
        key = gate.new_key(limits=["1 concurrent"])
        client = RawClient(gate.port)
        client.post("/v1/chat/completions", key, {**ASK, "stream": True})
        client.read_until(b"word")
        client.sock.close()
        if leave == "drain":
            until(lambda: metric(gate, "tollkeeper_draining") == 1)
            assert ask(gate, key)[0] == 429
            held.go.set()
        gate.events_once(1)
        held.go.set()

        until(lambda: ask(gate, key)[0] == 200)


@pytest.mark.parametrize("end", ["cut", "reset", "garbage", "refused"])
def test_a_place_is_freed_whatever_a_provider_does(gate: GateProcess, upstream: ScriptedUpstream, end: str) -> None:
    def broken(request: Request, connection: Connection) -> None:
        if end == "reset":
            connection.reset()
        elif end == "garbage":
            connection.send(b"what?\r\n\r\n")
        elif end == "cut":
            connection.send(SSE_HEAD)
            connection.chunk(chat_events(["word "], None)[0])

    key = gate.new_key(limits=["1 concurrent"])
    for _ in range(3):
        upstream.script = broken
        with RawClient(gate.port) as client:
            model = "lost" if end == "refused" else "m"
            client.post("/v1/chat/completions", key, {**ASK, "stream": True, "model": model})
            assert b"rate_limit" not in client.read_until(b"error")
        upstream.script = json_answer(200, chat_answer())
        until(lambda: ask(gate, key)[0] == 200)


# --- waiting --------------------------------------------------------------------------------------------------------

WAITING = CONFIG.replace("[limits.teams]", '[limits]\nall = ["1 concurrent"]\nwait = 40.0\nqueue = 30\n[limits.teams]')


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[GateProcess, ScriptedUpstream, Held]]:
    """A gate through which one call goes at a time, and a provider that has one."""
    held = Held()
    with ScriptedUpstream(held) as upstream, running_gate(tmp_path, WAITING.format(url=upstream.url)) as gate:
        yield gate, upstream, held


def test_a_call_waits_for_its_turn(line: tuple[GateProcess, ScriptedUpstream, Held]) -> None:
    gate, upstream, held = line
    key = gate.new_key()
    first = Asking(gate, key)
    assert held.began.acquire(timeout=30)
    second = Asking(gate, key)
    until(lambda: metric(gate, "tollkeeper_limit_waiting") == 1)
    assert len(upstream.requests) == 1

    held.go.set()
    first.join(30)
    second.join(30)

    assert (first.answer[0], second.answer[0], len(upstream.requests)) == (200, 200, 2)
    assert metric(gate, "tollkeeper_limit_waiting") == 0


def test_keys_take_turns(line: tuple[GateProcess, ScriptedUpstream, Held]) -> None:
    gate, upstream, held = line
    greedy, modest = gate.new_key(), gate.new_key()
    calls = [Asking(gate, greedy, user="greedy")]
    assert held.began.acquire(timeout=30)
    for number in range(6):
        calls.append(Asking(gate, greedy, user="greedy"))
        until(lambda number=number: metric(gate, "tollkeeper_limit_waiting") == number + 1)
    calls.append(Asking(gate, modest, user="modest"))
    until(lambda: metric(gate, "tollkeeper_limit_waiting") == 7)

    held.go.set()
    for call in calls:
        call.join(30)

    assert [call.answer[0] for call in calls] == [200] * 8
    assert [request.json()["user"] for request in upstream.requests].index("modest") == 2


def test_a_client_that_leaves_the_line_is_never_served(line: tuple[GateProcess, ScriptedUpstream, Held]) -> None:
    gate, upstream, held = line
    key = gate.new_key()
    first = Asking(gate, key)
    assert held.began.acquire(timeout=30)
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, ASK)
        until(lambda: metric(gate, "tollkeeper_limit_waiting") == 1)
    until(lambda: metric(gate, "tollkeeper_limit_waiting") == 0)

    held.go.set()
    first.join(30)

    assert ask(gate, key)[0] == 200
    assert len(upstream.requests) == 2


def test_who_has_waited_long_enough_is_refused(line: tuple[GateProcess, ScriptedUpstream, Held]) -> None:
    gate, _, held = line
    key = gate.new_key()
    first = Asking(gate, key)
    assert held.began.acquire(timeout=30)

    began = time.monotonic()
    refused = gate.call("POST", "/v1/chat/completions", key, ASK, x_tollkeeper_timeout="1")
    waited = time.monotonic() - began

    assert (refused[0], code(refused)) == (429, "rate_limit_exceeded")
    assert 0.9 < waited < 25  # the call's own time, not the forty seconds that it might wait
    held.go.set()
    first.join(30)
    assert first.answer[0] == 200


def test_a_gate_that_is_stopped_tells_those_who_wait(line: tuple[GateProcess, ScriptedUpstream, Held]) -> None:
    gate, _, held = line
    key = gate.new_key()
    first = Asking(gate, key)
    assert held.began.acquire(timeout=30)
    second = Asking(gate, key)
    until(lambda: metric(gate, "tollkeeper_limit_waiting") == 1)

    gate.process.terminate()
    second.join(30)

    assert (second.answer[0], code(second.answer)) == (503, "shutting_down")
    held.go.set()
    first.join(30)
    assert first.answer[0] == 200
    assert gate.stop() == 0


def test_no_place_is_lost_or_made_whoever_leaves_when(tmp_path: Path) -> None:
    """Two hundred calls that wait, are served, break off, and whose clients leave at any moment."""
    chance = random.Random(3)

    def moody(request: Request, connection: Connection) -> bool | None:
        mood = request.json()["user"]
        if mood == "reset":
            connection.reset()
            return False
        events = chat_events(["word "] * 3, usage_of(5, 3))
        connection.send(SSE_HEAD)
        for event in events[: 2 if mood == "cut" else None]:
            time.sleep(0.003)
            connection.chunk(event)
        return mood != "cut" and connection.end()

    def one(key: str, mood: str, patience: float) -> None:
        with RawClient(gate.port) as client:
            client.post("/v1/chat/completions", key, {**ASK, "stream": True, "user": mood}, "connection: close")
            client.closes_within(patience)

    config = WAITING.replace('["1 concurrent"]', '["4 concurrent"]').replace("wait = 40.0", "wait = 2.0")
    with ScriptedUpstream(moody) as upstream, running_gate(tmp_path, config.format(url=upstream.url)) as gate:
        keys = [gate.new_key(limits=["3 concurrent"]) for _ in range(3)]
        with ThreadPoolExecutor(20) as threads:
            for _ in range(200):
                mood = chance.choice(["well", "well", "cut", "reset"])
                threads.submit(one, chance.choice(keys), mood, chance.choice([0.001, 0.02, 0.1, 20]))
        _wait_until_nothing_is_under_way(gate, upstream, keys[0])
        assert (
            len(upstream.requests) > 1
        )  # a slow machine serves few before their clients or their time in line are gone

        held = upstream.script = Held()
        holding = [Asking(gate, keys[number % 2]) for number in range(4)]
        for _ in holding:
            assert held.began.acquire(timeout=30)
        assert ask(gate, keys[2])[0] == 429
        held.go.set()
        for call in holding:
            call.join(30)

        assert [call.answer[0] for call in holding] == [200] * 4


def _wait_until_nothing_is_under_way(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    """Connections whose clients have left may still stand in the gate's queue, and calls wait for their holds.

    Both are served in order, so a call made now is behind them all; and what was sent is over when it has its event.
    """
    until(lambda: metric(gate, "tollkeeper_limit_waiting") == 0)
    until(lambda: ask(gate, key, user="well", stream=True)[0] == 200)
    until(lambda: metric(gate, "tollkeeper_limit_waiting") == 0)
    until(lambda: len(gate.events()) == len(upstream.requests))
    until(lambda: metric(gate, "tollkeeper_draining") == 0)
