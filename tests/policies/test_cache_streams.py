"""Streams from the cache, through the real door: kept only when whole, given again as they came, shared while they come."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient, body_of
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
[cache]
max_answer_bytes = 20_000
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
leave = "{leave}"
timeouts = {{ connect = 2, first_byte = 5, idle = 2, total = 20 }}
[models.kept]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
cache = {{ ttl = 3600 }}
"""
FRESH = ("miss", "stored")
"""A stream is stored when it has ended; its headers leave with its first event, which may be its last too."""
COST = "0.000013"
"""USD of 9 input tokens at 1 and 2 output tokens at 2 USD per million."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(event_stream(b"")) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    folder = tmp_path_factory.mktemp("gate")
    with running_gate(folder, CONFIG.format(url=upstream.url, leave="drain")) as running:
        yield running


@pytest.fixture(autouse=True)
def counting(upstream: ScriptedUpstream) -> None:
    upstream.requests.clear()


def body(content: str, **more: Any) -> dict[str, Any]:
    return {"model": "kept", "stream": True, "messages": [{"role": "user", "content": content}], **more}


def ask(gate: GateProcess, key: str, content: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    return gate.call("POST", "/v1/chat/completions", key, body(content, **more))


def header(raw: bytes, name: bytes) -> bytes:
    """One header of a raw answer."""
    head = raw.partition(b"\r\n\r\n")[0].lower()
    return head.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0]


class Stepwise:
    """Streams one event for each step it is allowed."""

    def __init__(self, events: list[bytes], *, end: bool = True) -> None:
        self.events = events
        self.steps = threading.Semaphore(0)
        self.arrived = threading.Semaphore(0)
        self.closed = threading.Event()
        self._end = end

    def step(self, count: int = 1) -> None:
        self.steps.release(count)

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        self.arrived.release()
        connection.send(SSE_HEAD)
        for event in self.events:
            self.steps.acquire(timeout=10)
            if not connection.chunk(event):
                self.closed.set()
                return None
        if self._end:
            return connection.end()
        connection.reset()
        return None


def test_a_stream_is_given_again_event_by_event_in_the_same_cuts(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    events = chat_events(["Hel", "lo"], usage_of(9, 2))
    whole = b"".join(events)
    upstream.script = event_stream(whole, cut=len(events[0]) + len(events[1]), pace=0.05)
    key = gate.new_key()
    raw = []
    for _ in range(2):
        with RawClient(gate.port) as client:
            client.post("/v1/chat/completions", key, body("hello", stream_options={"include_usage": True}))
            raw.append(client.read_until(b"0\r\n\r\n"))

    first, second = raw

    assert body_of(first) == body_of(second) == (whole, True)
    assert first.partition(b"\r\n\r\n")[2] == second.partition(b"\r\n\r\n")[2]  # chunk by chunk
    assert (header(first, b"x-tollkeeper-cache"), header(second, b"x-tollkeeper-cache")) == (b"miss", b"hit")
    assert header(second, b"content-type") == b"text/event-stream; charset=utf-8"
    assert len(upstream.requests) == 1
    event = gate.event(header(second, b"x-request-id").decode())
    assert (event["outcome"], event["streamed"], event["cost_usd"]) == ("cached", True, "0")
    assert event["saved_usd"] == COST


def test_a_client_that_did_not_ask_for_usage_gets_what_it_would_have_got(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = event_stream(b"".join(chat_events(["Hi"], usage_of(9, 1))))
    without = b"".join(chat_events(["Hi"], None))
    key = gate.new_key()

    for _ in range(2):
        assert ask(gate, key, "usage")[2] == without
    with_usage = ask(gate, key, "usage", stream_options={"include_usage": True})
    assert b'"total_tokens"' in with_usage[2]
    assert len(upstream.requests) == 2


def test_a_stream_and_a_whole_answer_are_not_the_same(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = event_stream(b"".join(chat_events(["Hi"], usage_of(9, 1))))
    key = gate.new_key()
    ask(gate, key, "form")
    upstream.script = json_answer(200, chat_answer())

    assert ask(gate, key, "form", stream=False)[1]["x-tollkeeper-cache"] in FRESH
    assert len(upstream.requests) == 2


def _cut(events: list[bytes]) -> Callable[[Request, Connection], None]:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(b"".join(events))
        connection.reset()

    return script


BROKEN = {
    "cut": _cut(chat_events(["one", "two"], None, finish=False)),
    "cut after its finish reason": _cut(chat_events(["one"], None)[:-1]),
    "without an end": event_stream(b"".join(chat_events(["one"], None, finish=False))),
    "garbled": event_stream(chat_events(["one"], None)[0] + b"data: {oops\n\n"),
    "an error in it": event_stream(
        chat_events(["one"], None)[0] + b'data: {"error":{"message":"overloaded","code":"busy"}}\n\ndata: [DONE]\n\n'
    ),
    "an error first": event_stream(b'data: {"error":{"message":"overloaded","code":"busy"}}\n\ndata: [DONE]\n\n'),
    "too large": event_stream(b"".join(chat_events(["word " * 100] * 50, usage_of(9, 50)))),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_stream_that_is_not_whole_or_too_large_is_not_kept(
    gate: GateProcess, upstream: ScriptedUpstream, how: str
) -> None:
    key = gate.new_key()
    upstream.script = BROKEN[how]
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, body(how), "connection: close")
        client.read_all()
    asked = len(upstream.requests)
    upstream.script = event_stream(b"".join(chat_events(["well"], usage_of(9, 1))))

    status, headers, answer = ask(gate, key, how)

    assert status == 200
    assert headers["x-tollkeeper-cache"] in FRESH
    assert b"well" in answer
    assert len(upstream.requests) == asked + 1


def test_those_who_come_later_get_the_stream_from_its_first_byte_and_then_as_it_comes(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    events = chat_events(["one", "two", "three"], None)
    upstream.script = stepwise = Stepwise(events)
    key = gate.new_key(team="crowd")
    other = gate.new_key(team="crowd")
    with RawClient(gate.port) as leader, RawClient(gate.port) as early, RawClient(gate.port) as late:
        leader.post("/v1/chat/completions", key, body("together"))
        stepwise.arrived.acquire(timeout=30)
        early.post("/v1/chat/completions", other, body("together"))
        stepwise.step()
        early.read_until(b'"one"')
        stepwise.step()
        leader.read_until(b'"two"')
        late.post("/v1/chat/completions", key, body("together"))
        late.read_until(b'"two"')

        assert b'"three"' not in late.received
        stepwise.step(len(events))
        answers = [client.read_until(b"0\r\n\r\n") for client in (leader, early, late)]

    assert len(upstream.requests) == 1
    assert [body_of(answer)[0] for answer in answers] == [b"".join(events)] * 3
    told = [header(answer, b"x-tollkeeper-cache") for answer in answers]
    assert told == [b"miss", b"coalesced", b"coalesced"]
    outcomes = [gate.event(header(answer, b"x-request-id").decode())["outcome"] for answer in answers]
    assert outcomes == ["ok", "cached", "cached"]


def test_the_leader_of_a_stream_may_leave_and_the_others_get_all_of_it(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    events = chat_events(["one", "two"], usage_of(9, 2))
    upstream.script = stepwise = Stepwise(events)
    key = gate.new_key()
    leader = RawClient(gate.port)
    leader.post("/v1/chat/completions", key, body("leaving"))
    stepwise.step()
    leader.read_until(b'"one"')
    leader_id = header(leader.received, b"x-request-id").decode()
    with RawClient(gate.port) as follower:
        follower.post("/v1/chat/completions", key, body("leaving"))
        follower.read_until(b'"one"')
        leader.reset()
        time.sleep(0.2)
        stepwise.step(len(events))
        answer = follower.read_until(b"0\r\n\r\n")

    assert body_of(answer) == (b"".join(chat_events(["one", "two"], None)), True)
    first = gate.event(leader_id)
    assert (first["outcome"], first["quality"], first["cost_usd"]) == ("ok", "reported", COST)
    assert gate.event(header(answer, b"x-request-id").decode())["saved_usd"] == COST
    assert ask(gate, key, "leaving")[1]["x-tollkeeper-cache"] == "hit"


def test_one_who_joined_may_leave_and_costs_nothing(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    events = chat_events(["one", "two"], usage_of(9, 2))
    upstream.script = stepwise = Stepwise(events)
    key = gate.new_key()
    with RawClient(gate.port) as leader:
        leader.post("/v1/chat/completions", key, body("joined"))
        stepwise.step()
        leader.read_until(b'"one"')
        follower = RawClient(gate.port)
        follower.post("/v1/chat/completions", key, body("joined"))
        follower.read_until(b'"one"')
        follower.reset()
        time.sleep(0.2)
        stepwise.step(len(events))
        leader.read_until(b"0\r\n\r\n")

    event = gate.event(header(follower.received, b"x-request-id").decode())
    assert (event["outcome"], event["cost_usd"], event["saved_usd"]) == ("client_left", "0", "0")
    assert gate.event(header(leader.received, b"x-request-id").decode())["outcome"] == "ok"


def test_a_cut_is_an_error_for_everyone_who_listens(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = stepwise = Stepwise(chat_events(["one", "two"], None, finish=False), end=False)
    key = gate.new_key()
    with RawClient(gate.port) as leader, RawClient(gate.port) as follower:
        leader.post("/v1/chat/completions", key, body("cut for all"))
        stepwise.step()
        leader.read_until(b'"one"')
        follower.post("/v1/chat/completions", key, body("cut for all"))
        follower.read_until(b'"one"')
        stepwise.step()
        answers = [leader.read_all(), follower.read_all()]

    for answer in answers:
        content, ended = body_of(answer)
        assert not ended
        assert b'"upstream_reset"' in content or b'"upstream_cut"' in content
    events = [gate.event(header(answer, b"x-request-id").decode()) for answer in answers]
    assert [event["outcome"] for event in events] == ["upstream_cut", "upstream_cut"]
    assert (events[1]["cost_usd"], events[1]["saved_usd"]) == ("0", "0")


def test_a_stream_for_nobody_is_drained_and_kept(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    events = chat_events(["one", "two"], usage_of(9, 2))
    upstream.script = stepwise = Stepwise(events)
    key = gate.new_key()
    leader = RawClient(gate.port)
    leader.post("/v1/chat/completions", key, body("drained"))
    stepwise.step()
    leader.read_until(b'"one"')
    leader.sock.close()
    time.sleep(0.2)
    stepwise.step(len(events))

    event = gate.event(header(leader.received, b"x-request-id").decode())

    assert (event["outcome"], event["quality"], event["cost_usd"]) == ("client_left", "reported", COST)
    _, headers, answer = ask(gate, key, "drained")
    assert headers["x-tollkeeper-cache"] == "hit"
    assert answer == b"".join(chat_events(["one", "two"], None))


def test_where_a_client_s_leaving_cancels_the_upstream_is_closed_and_nothing_is_kept(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> None:
    events = chat_events(["one", "two"], usage_of(9, 2))
    upstream.script = stepwise = Stepwise(events * 20)
    config = CONFIG.format(url=upstream.url, leave="cancel")
    with running_gate(tmp_path_factory.mktemp("gate"), config) as gate:
        key = gate.new_key()
        leader, follower = RawClient(gate.port), RawClient(gate.port)
        leader.post("/v1/chat/completions", key, body("cancelled"))
        stepwise.step()
        leader.read_until(b'"one"')
        follower.post("/v1/chat/completions", key, body("cancelled"))
        follower.read_until(b'"one"')
        leader.sock.close()
        time.sleep(0.3)
        stepwise.step()
        follower.read_until(b'"two"')
        assert not stepwise.closed.is_set()
        follower.sock.close()
        until = time.monotonic() + 30
        while not stepwise.closed.is_set() and time.monotonic() < until:
            stepwise.step()
            time.sleep(0.05)

        assert stepwise.closed.is_set()
        assert gate.event(header(leader.received, b"x-request-id").decode())["outcome"] == "client_left"
        upstream.script = event_stream(b"".join(events))
        assert ask(gate, key, "cancelled")[1]["x-tollkeeper-cache"] in FRESH


def test_a_stream_beyond_what_is_kept_still_reaches_all_who_listen(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    events = chat_events([f"{number} " + "word " * 40 for number in range(2000)], None)
    upstream.script = stepwise = Stepwise([events[0], b"".join(events[1:])])
    key = gate.new_key()
    with RawClient(gate.port) as leader, RawClient(gate.port) as slow, RawClient(gate.port) as late:
        leader.post("/v1/chat/completions", key, body("large"))
        stepwise.step()
        leader.read_until(b'"0 ')
        slow.post("/v1/chat/completions", key, body("large"))
        slow.read_until(b'"0 ')
        stepwise.step()
        reading = threading.Thread(target=leader.read_until, args=(b"\r\n0\r\n\r\n",))
        reading.start()
        time.sleep(0.3)
        slow.read_until(b"\r\n0\r\n\r\n")
        reading.join(30)
        upstream.script = event_stream(b"".join(chat_events(["late"], None)))
        late.post("/v1/chat/completions", key, body("large"))
        late.read_until(b'"late"')

    assert body_of(leader.received) == body_of(slow.received) == (b"".join(events), True)
    assert len(upstream.requests) == 2
