"""MCP's requests of both eras, and what is answered to those that are wrong."""

import asyncio
import json
from typing import Any

import pytest

from tollkeeper.mcp.serving import Server, Told, serve
from tollkeeper.mcp.tool import Arguments, Refused, Tool

SERVER = Server(name="tollkeeper", version="1.0", title="Tollkeeper", instructions="Ask first.")
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


async def _add(arguments: Arguments) -> dict[str, int]:
    return {"sum": arguments["a"] + arguments["b"]}


async def _refuse(arguments: Arguments) -> None:
    raise Refused('property "uri" is required')


async def _break(arguments: Arguments) -> None:
    raise ZeroDivisionError


async def _say(arguments: Arguments) -> str:
    return "plain words"


NUMBERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
TOOLS = [
    Tool(name="add", title="Add", description="Adds.", takes=NUMBERS, gives={"type": "object"}, run=_add, reads=True),
    Tool(name="refuse", title="Refuse", description="Refuses.", takes={"type": "object"}, run=_refuse, destroys=True),
    Tool(name="break", title="Break", description="Breaks.", takes={"type": "object"}, run=_break),
    Tool(name="say", title="Say", description="Says.", takes={"type": "object"}, run=_say),
]


def _post(message: Any, **headers: str) -> Told:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return asyncio.run(serve(SERVER, "POST", named, body, TOOLS, lambda name, error: None))


def _old(method: str, params: Any = None, id: Any = 1) -> Any:
    """The result, or the error, of a request of the older era."""
    message = {"jsonrpc": "2.0", "id": id, "method": method, **({} if params is None else {"params": params})}
    told = json.loads(_post(message, mcp_protocol_version="2025-11-25").body)
    assert told["id"] == id
    return told.get("result", told.get("error"))


def _new(method: str, params: dict[str, Any] | None = None, **changed: str) -> tuple[int, Any]:
    """Status, and the result or the error, of a request of the newer era; `changed` are headers that differ."""
    meta = {VERSION: "2026-07-28", CAPABILITIES: {}}
    message = {"jsonrpc": "2.0", "id": "x", "method": method, "params": {**(params or {}), "_meta": meta}}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": method}
    if params and "name" in params:
        headers["mcp_name"] = params["name"]
    told = _post(message, **{**headers, **changed})
    answered = json.loads(told.body)
    return told.status, answered.get("result", answered.get("error"))


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("2025-06-18", "2025-06-18"), ("2024-11-05", "2024-11-05"), ("2019-01-01", "2025-11-25"), (None, "2025-11-25")],
)
def test_a_client_that_initializes_gets_the_revision_that_it_asked_for_or_the_newest_of_its_era(
    asked: str | None, answered: str
) -> None:
    result = _old("initialize", {"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "c"}})
    assert result["protocolVersion"] == answered
    assert result["instructions"] == "Ask first."
    assert result["capabilities"] == {"tools": {}}


def test_notifications_are_taken_without_an_answer() -> None:
    for headers in ({}, {"mcp_protocol_version": "2026-07-28"}):
        told = _post({"jsonrpc": "2.0", "method": "notifications/initialized"}, **headers)
        assert (told.status, told.body) == (202, b"")


def test_a_client_of_the_newer_era_discovers_the_server_without_a_handshake() -> None:
    status, result = _new("server/discover")
    assert status == 200
    assert result["supportedVersions"] == ["2026-07-28"]
    assert (result["resultType"], result["cacheScope"]) == ("complete", "private")


def test_tools_are_listed_alike_in_both_eras_with_what_they_may_change() -> None:
    old = _old("tools/list")["tools"]
    new = _new("tools/list")[1]["tools"]
    assert old == new
    assert [tool["name"] for tool in old] == ["add", "refuse", "break", "say"]
    assert [tool["annotations"]["readOnlyHint"] for tool in old] == [True, False, False, False]
    assert [tool["annotations"]["destructiveHint"] for tool in old] == [False, True, False, False]


def test_a_tool_answers_as_text_and_as_an_object() -> None:
    for result in (_old("tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}}), _add_new()):
        assert result["structuredContent"] == {"sum": 5}
        assert json.loads(result["content"][0]["text"]) == {"sum": 5}
        assert result["isError"] is False


def _add_new() -> Any:
    return _new("tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}})[1]


def test_a_tool_that_says_words_answers_in_words() -> None:
    result = _old("tools/call", {"name": "say"})
    assert result["content"] == [{"type": "text", "text": "plain words"}]
    assert "structuredContent" not in result


def test_what_a_tool_refuses_reaches_the_model_word_for_word() -> None:
    result = _old("tools/call", {"name": "refuse", "arguments": {}})
    assert result["isError"] is True
    assert result["content"][0]["text"] == 'property "uri" is required'


@pytest.mark.parametrize("arguments", [{"a": 1}, {"a": 1, "b": "2"}, {"a": 1, "b": 2, "c": 3}])
def test_arguments_that_do_not_fit_are_explained_to_the_model(arguments: dict[str, Any]) -> None:
    result = _old("tools/call", {"name": "add", "arguments": arguments})
    assert result["isError"] is True
    assert result["content"][0]["text"].startswith("add: arguments")


def test_a_tool_that_breaks_shows_nothing_of_how() -> None:
    error = _old("tools/call", {"name": "break"})
    assert error["code"] == -32603
    assert "ZeroDivision" not in error["message"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", -32700),
        (b"[" * 100_000, -32700),
        (b"3", -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, -32600),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, -32600),
        ([], -32600),
    ],
)
def test_what_is_no_request_is_refused(message: Any, code: int) -> None:
    told = _post(message)
    assert told.status == 400
    assert json.loads(told.body)["error"]["code"] == code


def test_unknown_methods_and_tools_are_told_apart() -> None:
    assert _old("resources/list")["code"] == -32601
    assert _old("tools/call", {"name": "nothing"})["code"] == -32602
    assert _new("resources/list")[0] == 404
    assert _new("tools/call", {"name": "nothing"})[0] == 400


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"mcp_protocol_version": "2025-11-25"}, -32020),
        ({"mcp_method": "tools/list"}, -32020),
        ({"mcp_name": "break"}, -32020),
        ({"mcp_name": "=?base64?!?="}, -32020),
    ],
)
def test_headers_and_body_must_say_the_same(changed: dict[str, str], code: int) -> None:
    status, error = _new("tools/call", {"name": "say", "arguments": {}}, **changed)
    assert (status, error["code"]) == (400, code)


def test_a_name_may_travel_as_base64() -> None:
    status, _ = _new("tools/call", {"name": "say", "arguments": {}}, mcp_name="=?base64?c2F5?=")
    assert status == 200


def test_a_revision_that_is_not_served_is_told_which_are() -> None:
    meta = {VERSION: "2030-01-01", CAPABILITIES: {}}
    told = _post(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}},
        mcp_protocol_version="2030-01-01",
        mcp_method="tools/list",
    )
    error = json.loads(told.body)["error"]
    assert (told.status, error["code"]) == (400, -32022)
    assert error["data"] == {"supported": ["2026-07-28"], "requested": "2030-01-01"}


def test_a_request_that_does_not_say_what_its_client_can_is_refused() -> None:
    told = _post(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {VERSION: "2026-07-28"}}},
        mcp_protocol_version="2026-07-28",
        mcp_method="tools/list",
    )
    assert told.status == 400
    assert CAPABILITIES in json.loads(told.body)["error"]["message"]


def test_a_batch_is_answered_in_its_order() -> None:
    told = _post(
        [
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 2, "method": "nothing"},
        ]
    )
    answers = json.loads(told.body)
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[0]["result"] == {}
    assert answers[1]["error"]["code"] == -32601


def test_there_is_no_stream_and_no_session_to_end() -> None:
    for method in ("GET", "DELETE"):
        told = asyncio.run(serve(SERVER, method, {}, b"", TOOLS, lambda name, error: None))
        assert (told.status, told.headers) == (405, ((b"allow", b"POST"),))
