"""OpenAI's Responses API over a WebSocket, called with OpenAI's own client and by hand."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from kit.gate import GateProcess, running_gate
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, json_answer
from kit.sockets import WAIT, frame, opened

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-provider-canary-0123456789"
leave = "cancel"
[models.m]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
"""
USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 7,
}


def event(kind: str, **more: Any) -> bytes:
    data = json.dumps({"type": kind, **more})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def response(status: str, text: str = "", **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "status": status,
        "model": "real-2026",
        "output": [message] if text else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **more,
    }


def stream(*words: str, end: bool = True) -> list[bytes]:
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [event("response.created", sequence_number=0, response=response("in_progress"))]
    events += [
        event("response.output_text.delta", sequence_number=number, delta=word, logprobs=[], **at)
        for number, word in enumerate(words, 1)
    ]
    if end:
        whole = response("completed", "".join(words), usage=USAGE)
        events.append(event("response.completed", sequence_number=len(words) + 1, response=whole))
    return events


def streaming(*words: str, end: bool = True) -> Any:
    def script(request: Request, connection: Connection) -> bool:
        connection.send(SSE_HEAD)
        connection.chunk(b"".join(stream(*words, end=end)))
        return end and connection.end()

    return script


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(streaming("Hel", "lo")) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(scope="module")
def key(gate: GateProcess) -> str:
    return gate.new_key()


@pytest.fixture(autouse=True)
def _hello(upstream: ScriptedUpstream) -> None:
    upstream.script = streaming("Hel", "lo")
    upstream.requests.clear()


@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")  # the client's own use of websockets
def test_openais_own_client_holds_a_conversation_over_the_socket(
    gate: GateProcess, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    key = gate.new_key(name="sdk")
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=key) as client, client.responses.connect() as connection:
        for _ in range(2):
            said = ""
            connection.response.create(model="m", input="Say hello.")
            for received in connection:
                if received.type == "response.output_text.delta":
                    said += received.delta
                if received.type == "response.completed":
                    break
            assert said == "Hello"

    asked = upstream.requests[-1].json()
    assert (asked["model"], asked["stream"], asked["input"]) == ("real", True, "Say hello.")
    assert "type" not in asked
    assert upstream.requests[-1].path == "/v1/responses"
    first, second = gate.events_once(2)[:2]
    assert [each["cost_usd"] for each in (first, second)] == ["0.000009"] * 2
    assert first["dialect"] == "openai_responses"


def test_lanes_run_side_by_side_and_each_in_its_order(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    go = threading.Event()

    def held(request: Request, connection: Connection) -> bool:
        word = request.json()["input"]
        if word == "slow":
            go.wait(WAIT)
        return bool(streaming(word)(request, connection))

    upstream.script = held
    with opened(gate, key, "/v1/responses") as socket:
        for lane, word in (("a", "slow"), ("a", "second"), ("b", "quick")):
            socket.send(json.dumps({"type": "response.create", "stream_id": lane, "model": "m", "input": word}))
        found = [frame(socket) for _ in range(3)]
        assert {each["stream_id"] for each in found} == {"b"}
        go.set()
        found = [frame(socket) for _ in range(6)]

    assert [each["stream_id"] for each in found] == ["a"] * 6
    assert [each["delta"] for each in found if "delta" in each] == ["slow", "second"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ("nonsense", 400, "invalid_json"),
        ('{"type":"response.steer"}', 400, "unknown_action"),
        ("{}", 400, "unknown_action"),
        ('{"type":"response.create","model":"nope","input":"x"}', 404, "model_not_found"),
        ('{"type":"response.create","model":"m","input":"x","generate":false}', 400, "unsupported_parameter"),
        ('{"type":"response.create","model":7,"input":"x"}', 400, "invalid_type"),
        (b"\x00", 400, "binary_message"),
    ],
)
def test_errors_come_in_the_sockets_own_form(
    gate: GateProcess, key: str, sent: str | bytes, status: int, code: str
) -> None:
    with opened(gate, key, "/v1/responses") as socket:
        socket.send(sent)
        said = frame(socket)

    assert (said["type"], said["status"], said["error"]["code"]) == ("error", status, code)
    assert set(said["error"]) >= {"type", "code", "message", "param"}


def test_a_providers_refusal_and_a_cut_are_errors_once(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    ask = json.dumps({"type": "response.create", "model": "m", "input": "x", "stream_id": "l"})
    refusal = {"error": {"message": "slow down", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}
    with opened(gate, key, "/v1/responses") as socket:
        upstream.script = json_answer(429, refusal, "retry-after: 7")
        socket.send(ask)
        said = frame(socket)
        assert (said["status"], said["error"]["message"], said["stream_id"]) == (429, "slow down", "l")
        assert said["error"]["headers"]["retry-after"] == "7"
        upstream.script = streaming("Hel", end=False)
        socket.send(ask)
        kinds = [frame(socket) for _ in range(3)]
        assert [each["type"] for each in kinds] == ["response.created", "response.output_text.delta", "error"]
        assert kinds[-1]["error"]["code"] == "upstream_cut"
        upstream.script = streaming("well")
        socket.send(ask)
        assert frame(socket)["type"] == "response.created"


def test_limits_hold_for_each_response(gate: GateProcess) -> None:
    key = gate.new_key(name="limited", limits=["1 requests/minute"])
    ask = json.dumps({"type": "response.create", "model": "m", "input": "x"})
    with opened(gate, key, "/v1/responses") as socket:
        socket.send(ask)
        while frame(socket)["type"] != "response.completed":
            pass
        socket.send(ask)
        said = frame(socket)

    assert (said["status"], said["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(said["error"]["headers"]["retry-after"]) > 0
