"""A model asked through a gate, or whatever is at that address: its answer in pieces, or why there is none."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from kit.assisting import calls, says
from kit.scripted import Connection, Request, Script, ScriptedUpstream, chat_events, event_stream, json_answer
from tollkeeper.assistant.model import ThroughGate
from tollkeeper.core.conversation import Conversation, Sampling, Text, Tool, Turn
from tollkeeper.core.deltas import Delta, TextDelta, ToolStart
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.upstream.client import HttpClient

ASKED = Conversation(
    dialect="openai_chat",
    model="m",
    turns=(Turn("system", (Text("Be brief."),)), Turn("user", (Text("Hello"),))),
    tools=(Tool("look", "Looks.", {"type": "object"}),),
    sampling=Sampling(max_tokens=10),
    stream=True,
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, {})) as running:
        yield running


def _answered(upstream: ScriptedUpstream, script: Script) -> list[Delta]:
    upstream.script = script

    async def whole() -> list[Delta]:
        client = HttpClient(time.monotonic)
        try:
            model = ThroughGate(client, upstream.url, "tk-1", 60, "Look in the drawer.")
            return [delta async for delta in model(ASKED)]
        finally:
            await client.close()

    return asyncio.run(whole())


def test_it_is_asked_as_any_caller_asks(upstream: ScriptedUpstream) -> None:
    deltas = _answered(upstream, event_stream(says("Hel", "lo"), cut=7))

    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == ["Hel", "lo"]
    request = upstream.requests[-1]
    assert (request.path, request.headers["authorization"]) == ("/v1/chat/completions", "Bearer tk-1")
    body = request.json()
    assert (body["model"], body["stream"], body["max_completion_tokens"]) == ("m", True, 10)
    assert body["tools"][0]["function"]["name"] == "look"


def test_tool_calls_come_with_their_arguments(upstream: ScriptedUpstream) -> None:
    deltas = _answered(upstream, event_stream(calls(("look", {"at": 1}), ("look", {"at": 2}))))
    assert [delta.name for delta in deltas if isinstance(delta, ToolStart)] == ["look", "look"]


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        (json_answer(401, {"error": {"message": "Wrong key.", "code": "x"}}), 401, "Wrong key. Look in the drawer."),
        (json_answer(429, {"error": {"message": "Too much."}}), 429, "Too much."),
        (json_answer(502, b"<html>"), 502, "html|502"),
        (event_stream(b"".join(chat_events(["Hel"], None, finish=False))), 502, "cut off"),
        (event_stream(b'data: {"error": {"message": "It broke."}}\n\n'), 500, "It broke."),
        (event_stream(b"data: nonsense\n\n"), 502, "cannot be read"),
    ],
)
def test_why_there_is_no_answer_is_said(upstream: ScriptedUpstream, script: Script, status: int, words: str) -> None:
    with pytest.raises(TollkeeperError, match=words) as failed:
        _answered(upstream, script)
    assert failed.value.status == status


def test_a_connection_that_breaks_is_no_end(upstream: ScriptedUpstream) -> None:
    def breaks(request: Request, connection: Connection) -> bool | None:
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.chunk(says("Hel", "lo")[:80])
        connection.reset()
        return None

    with pytest.raises(TollkeeperError):
        _answered(upstream, breaks)
