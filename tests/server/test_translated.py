"""Clients of every dialect reach providers of every dialect through the real door."""

from collections.abc import Iterator

import pytest

from kit.across import CLIENTS, PROVIDERS, ask, config, plays, send, spoken, understood
from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from kit.translations import SAYS, comparable, usage_said
from tollkeeper.core.answers import gathered
from tollkeeper.core.deltas import BlockEnd, Delta, End, Finish, Start, TextDelta, TextStart, ToolStart, UsageNoted
from tollkeeper.core.usage import Reported, Usage

USAGE = Reported(Usage(input_tokens=9, cached_input_tokens=2, output_tokens=4), b"{}")
STREAM: list[Delta] = [
    Start("id-1", "model-2", 9),
    TextStart(0),
    TextDelta(0, "Hé"),
    TextDelta(0, "llo"),
    BlockEnd(0),
    ToolStart(1, "call_1", "f"),
    TextDelta(1, '{"x":1}'),
    BlockEnd(1),
    Finish("tool"),
    UsageNoted(USAGE, None),
    End(),
]
PAIRS = [
    pytest.param(client, provider, id=f"{client} to {provider}")
    for client in CLIENTS
    for provider in PROVIDERS
    if client != provider
]
FULL = {"anthropic_messages": "x-api-key", "gemini_generate": "x-goog-api-key"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, chat_answer())) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), config(upstream.port)) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_an_answer_crosses_and_is_charged(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, client: str, provider: str, stream: bool
) -> None:
    upstream.script = plays(provider, spoken(provider, STREAM, stream=stream), stream=stream)

    status, headers, body = send(gate, key, ask(client, provider, stream=stream))

    assert status == 200, body
    found = comparable(understood(client, body, stream=stream), provider, client)
    assert found == comparable(gathered(STREAM), provider, client)
    event = gate.event(headers["x-request-id"])
    said = usage_said(USAGE, SAYS[provider].translator)
    assert said is not None
    assert (event["outcome"], event["quality"], event["dialect"]) == ("ok", "reported", client)
    assert (event["input_tokens"], event["output_tokens"]) == (said.input_tokens, said.output_tokens)
    assert event["cached_input_tokens"] == said.cached_input_tokens
    sent = upstream.requests[-1]
    assert sent.headers[FULL.get(provider, "authorization")].endswith("provider-key-0123456789")
    assert b"Hello" in sent.body
