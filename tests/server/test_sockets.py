"""The WebSocket as clients meet it: a real gate, a real socket, a scripted upstream behind it."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
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
from kit.sockets import WAIT, closed, frame, frames, opened, refused, say

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-provider-canary-0123456789"
leave = "cancel"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
[websocket]
model = "m"
memory = 4
origins = ["https://app.example.com"]
actions = {{ loud = {{ model = "m" }}, ask = {{ api = "about" }} }}
[websocket.limits]
answers = 3
[apis.about]
model = "m"
prompt = "Tell me about {{{{ topic }}}}."
answer = "Answer: {{{{ text }}}}"
input = {{ topic = "string" }}
[apis.chatty]
model = "m"
[apis.person]
model = "m"
prompt = "Who? {{{{ text }}}}"
[apis.person.output]
type = "object"
properties = {{ name = {{ type = "string" }} }}
required = ["name"]
"""
HELLO = event_stream(b"".join(chat_events(["Hel", "lo", "!"], usage_of(9, 3))))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(HELLO) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(scope="module")
def key(gate: GateProcess) -> str:
    return gate.new_key(name="caller")


@pytest.fixture(autouse=True)
def _hello(upstream: ScriptedUpstream) -> None:
    upstream.script = HELLO
    upstream.requests.clear()


class Held:
    """A stream that says one word and goes on when it is told."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.left = threading.Event()

    def __call__(self, request: Request, connection: Connection) -> bool:
        events = chat_events(["one", " two"], usage_of(5, 2))
        connection.send(SSE_HEAD)
        connection.chunk(events[0])
        self.begun.release()
        if self.go.wait(WAIT):
            connection.chunk(b"".join(events[1:]))
            return connection.end()
        return False


class Watching(Held):
    """One that says when the gate hangs up."""

    def __call__(self, request: Request, connection: Connection) -> bool:
        connection.send(SSE_HEAD)
        connection.chunk(chat_events(["one", " two"], None)[0])
        self.begun.release()
        if connection.wait_for_peer_to_close(WAIT) is not None:
            self.left.set()
        return False


def test_words_come_as_bare_text_one_message_each(gate: GateProcess, key: str) -> None:
    with opened(gate, key) as socket:
        say(socket, data="こんにちは")

        assert [socket.recv(WAIT) for _ in range(3)] == ["Hel", "lo", "!"]


def test_the_call_is_one_like_any_other_in_the_ledger(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(name="one of a socket", owner="ada")
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="hello", id="q1")
        start, *deltas, usage, done = frames(socket)

    assert start == {"type": "start", "id": "q1", "request_id": start["request_id"], "model": "m"}
    assert deltas == [{"type": "delta", "id": "q1", "text": text} for text in ("Hel", "lo", "!")]
    assert (usage["input_tokens"], usage["output_tokens"], usage["cost_usd"]) == (9, 3, "0.000015")
    assert done == {"type": "done", "id": "q1", "reason": "end"}
    event = gate.event(start["request_id"])
    assert (event["owner"], event["outcome"], event["cost_usd"], event["streamed"]) == ("ada", "ok", "0.000015", True)
    assert upstream.requests[-1].json()["messages"] == [{"role": "user", "content": "hello"}]


def test_the_subprotocol_chooses_the_format_and_is_agreed_on(gate: GateProcess, key: str) -> None:
    with opened(gate, key, subprotocols=["tollkeeper.v1.json"]) as socket:
        assert socket.subprotocol == "tollkeeper.v1.json"
        say(socket, data="hello")
        assert frames(socket)[-1]["type"] == "done"


def test_a_browser_gives_its_key_as_a_subprotocol_which_is_not_repeated(gate: GateProcess, key: str) -> None:
    for prefix in ("tollkeeper.key.", "openai-insecure-api-key."):
        with opened(gate, subprotocols=["tollkeeper.v1.text", prefix + key]) as socket:
            assert socket.subprotocol == "tollkeeper.v1.text"
            say(socket, data="hello")
            assert socket.recv(WAIT) == "Hel"


def test_a_ticket_opens_one_socket(gate: GateProcess, key: str) -> None:
    status, headers, body = gate.call("POST", "/ws/tickets", key)
    ticket = json.loads(body)

    assert (status, headers["cache-control"], ticket["expires_in"]) == (200, "no-store", 30)
    with opened(gate, path=f"/ws?ticket={ticket['ticket']}") as socket:
        say(socket, data="hello")
        assert socket.recv(WAIT) == "Hel"
    assert refused(gate, path=f"/ws?ticket={ticket['ticket']}") == (401, "invalid_api_key")
    assert gate.call("POST", "/ws/tickets", "tk-wrong")[0] == 401
    assert gate.call("GET", "/ws/tickets", key)[0] == 405


def test_who_may_not_open_a_socket_is_told_why_in_an_ordinary_answer(gate: GateProcess, key: str) -> None:
    assert refused(gate) == (401, "invalid_api_key")
    assert refused(gate, "tk-wrong") == (401, "invalid_api_key")
    assert refused(gate, subprotocols=["tollkeeper.key.tk-wrong"]) == (401, "invalid_api_key")
    assert refused(gate, key, "/elsewhere") == (404, "not_found")
    assert refused(gate, key, "/ws?format=xml") == (400, "invalid_value")


@pytest.mark.parametrize(
    ("origin", "opens"),
    [
        ("https://app.example.com", True),
        ("http://127.0.0.1:{port}", True),
        ("https://evil.example.com", False),
        ("https://app.example.com.evil.com", False),
        ("null", False),
    ],
)
def test_a_page_of_another_site_opens_no_socket(gate: GateProcess, key: str, origin: str, opens: bool) -> None:
    headers = {"origin": origin.format(port=gate.port)}
    if opens:
        with opened(gate, key, headers=headers):
            pass
    else:
        assert refused(gate, key, headers=headers) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("not json", "invalid_json"),
        ("[1]", "invalid_json"),
        ('{"action":"sendmessage","action":"x"}', "invalid_json"),
        ('{"action":1}', "invalid_type"),
        ('{"data":"hello"}', "unknown_action"),
        ('{"action":"nope","data":"hello"}', "unknown_action"),
        ('{"action":"sendmessage"}', "missing_required_parameter"),
        ('{"action":"sendmessage","data":5}', "invalid_type"),
        ('{"action":"sendmessage","data":{"messages":"x"}}', "invalid_type"),
        ('{"action":"sendmessage","data":"x","model":"no-such"}', "model_not_found"),
        ('{"action":"sendmessage","data":"x","id":""}', "invalid_value"),
        ('{"action":"cancel","id":"unknown"}', "not_found"),
        (b"\x00", "binary_message"),
    ],
)
@pytest.mark.parametrize("format", ["text", "json"])
def test_bad_messages_are_answered_clearly_and_the_socket_stays(
    gate: GateProcess, key: str, sent: str | bytes, code: str, format: str
) -> None:
    with opened(gate, key, f"/ws?format={format}") as socket:
        socket.send(sent)
        said = frame(socket)
        say(socket, data="hello")
        after = socket.recv(WAIT)

    assert said["error"]["code"] == code
    assert after == "Hel" if format == "text" else json.loads(after)["type"] == "start"


def test_a_message_may_bring_its_whole_history_and_parameters(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, "loud", data={"messages": history, "temperature": 0.5, "max_tokens": 7})
        assert frames(socket)[-1]["type"] == "done"

    asked = upstream.requests[-1].json()
    assert (asked["messages"], asked["temperature"], asked["stream"]) == (history, 0.5, True)


def test_a_conversation_is_remembered_within_bounds_and_can_be_forgotten(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    with opened(gate, key, "/ws?format=json") as socket:
        for number in range(4):
            say(socket, data=f"question {number}")
            frames(socket)
        remembered = [message["content"] for message in upstream.requests[-1].json()["messages"]]
        say(socket, "forget")
        say(socket, data="again")
        frames(socket)

    assert remembered == ["question 1", "Hello!", "question 2", "Hello!", "question 3"]
    assert [message["content"] for message in upstream.requests[-1].json()["messages"]] == ["again"]


def test_several_answers_run_side_by_side_told_apart_by_their_ids(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    held = upstream.script = Held()
    with opened(gate, key, "/ws?format=json") as socket:
        for id in ("a", "b", "c"):
            say(socket, data="hello", id=id)
            assert held.begun.acquire(timeout=WAIT)
        say(socket, data="hello", id="d")
        say(socket, data="hello", id="a")
        refusals = frames(socket) + frames(socket)
        held.go.set()
        rest = [each for _ in range(3) for each in frames(socket)]

    assert [each["error"]["code"] for each in refusals if each["type"] == "error"] == ["too_many_answers"] * 2
    for id in ("a", "b", "c"):
        said = [each.get("text") for each in refusals + rest if each["id"] == id and each["type"] == "delta"]
        assert "".join(said) == "one two"


def test_an_id_that_is_in_use_is_refused(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    held = upstream.script = Held()
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="hello", id="a")
        assert held.begun.acquire(timeout=WAIT)
        say(socket, data="hello", id="a")
        assert frames(socket, "error")[-1]["error"]["code"] == "request_id_taken"
        held.go.set()
        assert frames(socket)[-1] == {"type": "done", "id": "a", "reason": "end"}


def test_in_the_text_format_answers_come_one_after_another(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    held = upstream.script = Held()
    with opened(gate, key) as socket:
        say(socket, data="first")
        say(socket, data="second")
        assert held.begun.acquire(timeout=WAIT)
        assert len(upstream.requests) == 1
        held.go.set()

        assert [socket.recv(WAIT) for _ in range(4)] == ["one", " two", "one", " two"]


def test_cancel_ends_one_answer_and_stops_the_provider(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    watching = upstream.script = Watching()
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="hello", id="a")
        request_id = frames(socket, "delta")[0]["request_id"]
        say(socket, "cancel", id="a")
        assert frames(socket)[-1] == {"type": "done", "id": "a", "reason": "cancelled"}
        assert watching.left.wait(WAIT)
        upstream.script = HELLO
        say(socket, data="hello", id="a")
        assert frames(socket)[-1]["reason"] == "end"

    assert gate.event(request_id)["outcome"] == "client_left"


def test_a_client_that_leaves_midway_is_charged_once_and_the_provider_is_stopped(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    watching = upstream.script = Watching()
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="hello")
        request_id = frames(socket, "delta")[0]["request_id"]
    assert watching.left.wait(WAIT)

    event = gate.event(request_id)
    assert (event["outcome"], event["quality"], event["output_tokens"]) == ("client_left", "counted", 1)


def test_a_providers_error_reaches_the_client_as_an_error_frame(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(400, {"error": {"message": "no", "type": "t", "param": "p", "code": "bad"}})
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="hello", id="a")
        failed = frames(socket)[-1]

    assert failed["type"] == "error"
    assert failed["error"] == {"message": "no", "type": "t", "param": "p", "code": "bad", "status": 400}


def test_a_cut_upstream_is_an_error_never_a_clean_end(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    def cut(request: Request, connection: Connection) -> bool:
        connection.send(SSE_HEAD)
        connection.chunk(chat_events(["one"], None)[0])
        return False

    upstream.script = cut
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="hello")
        found = frames(socket)

    assert [each["type"] for each in found] == ["start", "delta", "usage", "error"]
    assert found[-1]["error"]["code"] == "upstream_cut"


def test_a_tool_call_comes_whole(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    begun = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"city":', '"Kyoto"}')]
    events = [chunk({"tool_calls": [piece]}) for piece in (begun, *pieces)] + [chunk({}, "tool_calls")]
    upstream.script = event_stream(b"".join(events) + b"data: [DONE]\n\n")
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="hello", id="a")
        found = {each["type"]: each for each in frames(socket)}

    call = {"type": "tool_call", "id": "a", "call_id": "call_1", "name": "look", "arguments": '{"city":"Kyoto"}'}
    assert found["tool_call"] == call
    assert found["done"]["reason"] == "tool"


def test_a_key_that_is_revoked_can_say_no_more(gate: GateProcess) -> None:
    key = gate.new_key(name="to be revoked")
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="hello")
        frames(socket)
        assert gate.operator("DELETE", "/api/keys/to%20be%20revoked")[0] == 200
        until = time.monotonic() + WAIT
        while True:
            say(socket, data="hello")
            if (said := frames(socket))[-1]["type"] == "error":
                break
            assert time.monotonic() < until
        assert said[-1]["error"]["code"] == "invalid_api_key"
        assert closed(socket)[0] == 1008


def test_limits_and_budgets_hold_on_a_socket(gate: GateProcess) -> None:
    limited = gate.new_key(name="limited", limits=["1 requests/minute"])
    with opened(gate, limited, "/ws?format=json") as socket:
        say(socket, data="hello")
        assert frames(socket)[-1]["type"] == "done"
        say(socket, data="hello")
        assert frames(socket)[-1]["error"]["code"] == "rate_limit_exceeded"
    poor = gate.new_key(name="poor", budgets=["0.000001 USD/month"])
    with opened(gate, poor, "/ws?format=json") as socket:
        say(socket, data="hello")
        assert frames(socket)[-1]["error"]["code"] == "budget_exceeded"


@pytest.mark.parametrize("data", ["Kyoto", {"topic": "Kyoto"}])
@pytest.mark.parametrize("action", ["about", "ask"])
def test_a_published_api_is_an_action_of_its_name_or_a_mapped_one(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, action: str, data: object
) -> None:
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, action, data=data, id="a")
        found = frames(socket)

    assert "".join(each["text"] for each in found if each["type"] == "delta") == "Answer: Hello!"
    assert [each["type"] for each in found if each["type"] != "delta"] == ["start", "usage", "done"]
    assert upstream.requests[-1].json()["messages"] == [{"role": "user", "content": "Tell me about Kyoto."}]
    assert gate.event(found[0]["request_id"])["outcome"] == "ok"


def test_a_published_chat_takes_a_text_or_messages(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    with opened(gate, key) as socket:
        for data in ("hello", {"messages": [{"role": "user", "content": "hello"}]}):
            say(socket, "chatty", data=data)
            said = ""
            while not said.endswith("!"):
                said += socket.recv(WAIT)  # type: ignore[operator]
            assert said.endswith("Hello!")
            assert upstream.requests[-1].json()["messages"] == [{"role": "user", "content": "hello"}]


def test_an_answer_that_is_no_text_comes_as_a_result(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = json_answer(200, chat_answer('{"name":"Ada"}'))
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, "person", data={"text": "Countess"}, id="a")
        found = {each["type"]: each for each in frames(socket)}

    assert found["result"] == {"type": "result", "id": "a", "value": {"name": "Ada"}}
    assert "delta" not in found
    assert not upstream.requests[-1].json().get("stream")  # what does not follow the schema is nobody's answer


@pytest.mark.parametrize(
    ("action", "data", "code"),
    [
        ("about", {}, "missing_required_parameter"),
        ("about", {"topic": "x", "more": 1}, "unknown_parameter"),
        ("about", [1], "invalid_json"),
        ("chatty", {"messages": "x"}, "invalid_type"),
    ],
)
def test_what_a_published_api_refuses_is_told_in_a_frame(
    gate: GateProcess, key: str, action: str, data: object, code: str
) -> None:
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, action, data=data, id="a")
        failed = frames(socket)[-1]

    assert (failed["type"], failed["id"], failed["error"]["code"]) == ("error", "a", code)
