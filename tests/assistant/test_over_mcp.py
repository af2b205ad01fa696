"""Tools over MCP, as their server describes them; and servers that are none."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kit.scripted import Connection, Request, ScriptedUpstream, json_answer
from tollkeeper.assistant.over_mcp import Toolbox
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.mcp.serving import Server, serve
from tollkeeper.mcp.tool import Arguments, Refused, Tool
from tollkeeper.upstream.client import HttpClient


async def _look(given: Arguments) -> Any:
    if given.get("at") == 7:
        raise Refused("There is no 7.")
    return {"found": given}


TOOLS = [
    Tool(
        name="look", title="Look", description="Looks.", takes={"type": "object"}, gives={"type": "object"}, run=_look
    ),
    Tool(name="read", title="Read", description="Reads.", takes={"type": "object"}, run=_look, reads=True),
]


def _served(request: Request, connection: Connection) -> bool | None:
    """Our own server's answer, from the bytes that came."""
    headers = {name.encode(): value.encode() for name, value in request.headers.items()}
    server = Server(name="s", version="1", title="S", instructions="Be careful.")
    told = asyncio.run(serve(server, request.method, headers, request.body, TOOLS, lambda *_: None))
    return json_answer(told.status, told.body)(request, connection)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(_served) as running:
        yield running


def _with(upstream: ScriptedUpstream, **calls: Arguments) -> tuple[str, list[Tool], list[Any]]:
    """What it says of itself, its tools, and what those answer."""

    async def whole() -> tuple[str, list[Tool], list[Any]]:
        client = HttpClient(time.monotonic)
        try:
            told, tools = await Toolbox(client, f"http://127.0.0.1:{upstream.port}", "op-1", "ada").open()
            by_name = {tool.name: tool for tool in tools}
            return told, tools, [await by_name[name].run(given) for name, given in calls.items()]
        finally:
            await client.close()

    return asyncio.run(whole())


def test_a_tool_is_what_its_server_says_of_it_and_is_run_there(upstream: ScriptedUpstream) -> None:
    upstream.script = _served
    told, (look, read), answers = _with(upstream, look={"at": 1})

    assert told == "Be careful."
    assert (look.title, look.description, look.reads, read.reads) == ("Look", "Looks.", False, True)
    assert answers == [{"found": {"at": 1}}]
    # Its schema is not made into code here: its server checks what it is given.
    assert look.checks_arguments
    headers = upstream.requests[-1].headers
    assert (headers["x-api-key"], headers["x-tollkeeper-who"], headers["mcp-name"]) == ("op-1", "ada", "look")


def test_a_refusal_is_told_word_for_word(upstream: ScriptedUpstream) -> None:
    upstream.script = _served
    with pytest.raises(Refused, match=r"^There is no 7\.$"):
        _with(upstream, look={"at": 7})


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"{}", "does not take this key"),
        (200, b"<html>", "answered 200 and no MCP"),
        (404, json.dumps({"error": {"message": "Nothing is here."}}).encode(), "enabled is false"),
        (404, json.dumps({"jsonrpc": "2.0", "error": {"message": "No such method."}}).encode(), "No such method"),
        (503, b"[]", "answered 503"),
    ],
)
def test_what_is_no_such_server_is_an_error(upstream: ScriptedUpstream, status: int, body: bytes, words: str) -> None:
    upstream.script = json_answer(status, body)
    with pytest.raises(TollkeeperError, match=words):
        _with(upstream)
