"""Equal calls at one time, through the real door: one goes out, and nobody is left without an answer when it fails."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.caching import CONFIG, COST, Gated, ask, body, told
from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from kit.vitals import becomes, under_way


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(autouse=True)
def answering(upstream: ScriptedUpstream) -> None:
    """Every test begins with an upstream that answers well and has counted nothing."""
    upstream.script = json_answer(200, chat_answer())
    upstream.requests.clear()


def test_fifty_equal_calls_at_once_are_one_call(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = gated = Gated()
    keys = [gate.new_key(team="crowd") for _ in range(5)]

    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, gate, keys[number % 5], "crowd") for number in range(50)]
        gated.arrived.acquire(timeout=30)
        assert becomes(lambda: under_way(gate.port) >= 50)
        time.sleep(0.2)
        gated.go.set()
        answers = [each.result() for each in asked]

    assert len(upstream.requests) == 1
    said = [told(answer) for answer in answers]
    assert said.count("coalesced") + said.count("hit") == 49  # whoever was slow to come found it in memory
    assert said.count("coalesced") > 0
    assert len({answer[2] for answer in answers}) == 1
    events = [gate.event(answer[1]["x-request-id"]) for answer in answers]
    assert sorted(event["outcome"] for event in events) == ["cached"] * 49 + ["ok"]
    assert sorted(event["cost_usd"] for event in events) == ["0"] * 49 + [COST]
    assert {event["saved_usd"] for event in events if event["outcome"] == "cached"} == {COST}


def test_when_the_one_that_went_fails_the_next_one_goes_and_not_all(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = gated = Gated()
    gated.first = (503, {"error": {"message": "overloaded"}})
    key = gate.new_key()

    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(ask, gate, key, "failing leader") for _ in range(10)]
        gated.arrived.acquire(timeout=30)
        assert becomes(lambda: under_way(gate.port) >= 10)
        time.sleep(0.2)
        gated.go.set()
        answers = [each.result() for each in asked]

    statuses = sorted(answer[0] for answer in answers)
    assert statuses[:9] == [200] * 9
    assert statuses[9] >= 500
    assert len(upstream.requests) == 2
    said = [told(answer) for answer in answers if answer[0] == 200]
    assert said.count("coalesced") + said.count("hit") == 8


def test_a_refusal_of_the_request_itself_is_one_for_all_who_wait(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = gated = Gated({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400)
    key = gate.new_key()

    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(ask, gate, key, "refused") for _ in range(10)]
        gated.arrived.acquire(timeout=30)
        assert becomes(lambda: under_way(gate.port) >= 10)
        time.sleep(0.2)
        gated.go.set()
        answers = [each.result() for each in asked]

    assert {answer[0] for answer in answers} == {400}
    assert len(upstream.requests) == 1


def test_the_one_that_went_may_leave_and_those_who_wait_are_served(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = gated = Gated()
    key = gate.new_key()
    before = under_way(gate.port)
    leader = RawClient(gate.port)
    leader.post("/v1/chat/completions", key, body("left behind"))
    gated.arrived.acquire(timeout=30)

    with ThreadPoolExecutor(2) as pool:
        follower = pool.submit(ask, gate, key, "left behind")
        assert becomes(lambda: under_way(gate.port) == before + 2)
        time.sleep(0.2)
        leader.reset()
        assert becomes(lambda: under_way(gate.port) == before + 1)
        time.sleep(0.2)
        gated.go.set()
        answer = follower.result()

    assert (answer[0], told(answer)) == (200, "coalesced")
    assert len(upstream.requests) == 1
    assert told(ask(gate, key, "left behind")) == "hit"
    assert gate.event(answer[1]["x-request-id"])["saved_usd"] == COST


def test_an_answer_is_kept_though_nobody_was_left_to_get_it(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = gated = Gated()
    key = gate.new_key(name="nobody", owner="nobody")
    leader = RawClient(gate.port)
    leader.post("/v1/chat/completions", key, body("for nobody"))
    gated.arrived.acquire(timeout=30)
    leader.sock.close()
    time.sleep(0.2)
    gated.go.set()
    until = time.monotonic() + 30
    while not any(event["owner"] == "nobody" for event in gate.events()) and time.monotonic() < until:
        time.sleep(0.02)

    assert told(ask(gate, key, "for nobody")) == "hit"
    assert len(upstream.requests) == 1
