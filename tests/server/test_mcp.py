"""/mcp at the gate's port: published APIs are tools, and a tool call is a call like any other."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import CONFIG
from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer

APIS = """
[mcp]
origins = ["https://chat.example"]

[apis.translate]
description = "Translates."
model = "gpt-4o-mini"
prompt = "Translate {{ text }}"
input = { text = "string" }

[apis.person]
model = "gpt-4o-mini"
prompt = "Who is {{ name }}?"
[apis.person.output]
type = "object"
properties = { name = { type = "string" } }
required = ["name"]
additionalProperties = false

[apis.chat]
"""


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url) + APIS) as running:
        yield running


@pytest.fixture(autouse=True)
def says_hello(upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer("Hi", 9, 2))


def _ask(gate: GateProcess, key: str, method: str, params: Any = None, **headers: str) -> Any:
    """The result, or the error, of one request."""
    message = {"jsonrpc": "2.0", "id": 7, "method": method, **({} if params is None else {"params": params})}
    status, _, body = gate.call("POST", "/mcp", key, message, **headers)
    assert status == 200, body
    told = json.loads(body)
    return told.get("result", told.get("error"))


def test_published_apis_are_tools_with_their_fields(gate: GateProcess) -> None:
    tools = {tool["name"]: tool for tool in _ask(gate, gate.new_key(), "tools/list")["tools"]}
    assert set(tools) == {"translate", "person", "chat"}
    assert tools["translate"]["description"] == "Translates."
    assert set(tools["translate"]["inputSchema"]["properties"]) == {"text", "model"}
    assert tools["translate"]["inputSchema"]["required"] == ["text"]
    assert "outputSchema" not in tools["translate"]
    assert tools["person"]["outputSchema"]["required"] == ["name"]


def test_a_tool_call_is_charged_to_its_caller_under_the_answers_request_id(gate: GateProcess) -> None:
    key = gate.new_key()
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    call = {**message, "params": {"name": "translate", "arguments": {"text": "Good day"}}}
    _, headers, body = gate.call("POST", "/mcp", key, call)
    assert json.loads(body)["result"]["content"] == [{"type": "text", "text": "Hi"}]
    event = gate.event(headers["x-request-id"])
    assert (event["input_tokens"], event["output_tokens"]) == (9, 2)


def test_calls_in_a_batch_are_each_charged(gate: GateProcess) -> None:
    key = gate.new_key(name="batched")
    call = {"method": "tools/call", "params": {"name": "translate", "arguments": {"text": "x"}}}
    _, _, body = gate.call("POST", "/mcp", key, [{"jsonrpc": "2.0", "id": number, **call} for number in range(3)])
    assert [answer["id"] for answer in json.loads(body)] == [0, 1, 2]
    key_id = next(found["id"] for found in gate.command("keys", "list") if found["name"] == "batched")
    found = [event for event in gate.events_once(3) if event["key_id"] == key_id]
    assert len(found) == 3


def test_an_object_is_an_object(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer('{"name": "Ada"}'))
    result = _ask(gate, gate.new_key(), "tools/call", {"name": "person", "arguments": {"name": "Ada"}})
    assert result["structuredContent"] == {"name": "Ada"}


def test_what_goes_wrong_is_told_to_the_model(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()
    result = _ask(gate, key, "tools/call", {"name": "translate", "arguments": {"txt": "x"}})
    assert result["isError"] is True
    assert "text" in result["content"][0]["text"]
    upstream.script = json_answer(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
    result = _ask(gate, key, "tools/call", {"name": "translate", "arguments": {"text": "x"}})
    assert result["isError"] is True
    assert "too long" in result["content"][0]["text"]


def test_limits_and_rights_hold(gate: GateProcess) -> None:
    key = gate.new_key(limits=["1 requests/minute"])
    call = {"name": "translate", "arguments": {"text": "x"}}
    assert _ask(gate, key, "tools/call", call)["isError"] is False
    refused = [_ask(gate, key, "tools/call", call) for _ in range(12)][-1]
    assert refused["isError"] is True
    assert "requests" in refused["content"][0]["text"]
    other = gate.new_key(models=["gpt-4.1"])
    assert [tool["name"] for tool in _ask(gate, other, "tools/list")["tools"]] == ["chat"]


def test_nobody_gets_in_without_a_key(gate: GateProcess) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    status, headers, _ = gate.call("POST", "/mcp", "tk-wrong", message)
    assert status == 401
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("https://chat.example", 200), ("null", 403), ("", 200)]
)
def test_pages_of_others_are_kept_out(gate: GateProcess, origin: str, status: int) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert gate.call("POST", "/mcp", gate.new_key(), message, origin=origin)[0] == status


def test_a_name_that_was_made_to_point_here_opens_nothing_to_its_pages(gate: GateProcess) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    key = gate.new_key()
    for host, status in ((f"evil.example:{gate.port}", 403), (f"127.0.0.1:{gate.port}", 200)):
        assert gate.call("POST", "/mcp", key, message, origin=f"http://{host}", host=host)[0] == status


def test_there_is_no_stream_to_open(gate: GateProcess) -> None:
    assert gate.call("GET", "/mcp", gate.new_key())[0] == 405
