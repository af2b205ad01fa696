"""Clients of every dialect reach providers of every dialect through the real door."""

import json
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


NATIVE = {
    "gemini_generate": [
        ({}, "generationConfig", "maxOutputTokens"),
        ({"generationConfig": {"topK": 3}}, "generationConfig", "maxOutputTokens"),
        ({"generation_config": {"top_k": 3, "max_output_tokens": 70}}, "generation_config", "max_output_tokens"),
    ],
    "ollama_chat": [
        ({}, "options", "num_predict"),
        ({"options": {"top_k": 3, "num_predict": 70}}, "options", "num_predict"),
    ],
}


@pytest.mark.parametrize("client", ["gemini_generate", "ollama_chat", "openai_chat", "anthropic_messages"])
@pytest.mark.parametrize("provider", NATIVE)
def test_what_a_budget_leaves_limits_the_output_inside_of_the_providers_own_member(
    gate: GateProcess, upstream: ScriptedUpstream, client: str, provider: str
) -> None:
    upstream.script = plays(provider, spoken(provider, STREAM, stream=False), stream=False)
    for more, outer, inner in NATIVE[provider] if client == provider else [({}, *NATIVE[provider][0][1:])]:
        key = gate.new_key(budgets=["0.01 USD/total"])  # at 2 USD a million: fewer than 5000 tokens

        status, _, body = send(gate, key, ask(client, provider, stream=False, **more))

        assert status == 200, body
        sent = upstream.requests[-1].json()
        own = more.get(outer, {}).get(inner, 100 if client == "anthropic_messages" else None)
        assert sent[outer][inner] == own if own is not None else 0 < sent[outer][inner] < 5000
        assert {name: value for name, value in sent[outer].items() if name != inner} == {
            name: value for name, value in more.get(outer, {}).items() if name != inner
        }
        assert len([name for name in sent if name.lower().replace("_", "") == outer.lower().replace("_", "")]) == 1


@pytest.mark.parametrize("reports", [False, True], ids=["without usage", "with usage"])
@pytest.mark.parametrize("client", [client for client in CLIENTS if client != "openai_responses"])
def test_a_response_that_failed_is_an_error_and_costs_what_it_reports(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, client: str, reports: bool
) -> None:
    upstream.script = plays("openai_responses", failed_response(reports=reports), stream=False)

    status, headers, body = send(gate, key, ask(client, "openai_responses", stream=False))

    assert status == 500, body
    assert b"It broke." in body
    event = gate.event(headers["x-request-id"])
    assert (event["outcome"], event["error_code"]) == ("error", "server_error")
    found = (event["input_tokens"], event["output_tokens"], event["cost_usd"])
    assert found == ((9, 4, "0.000017") if reports else (0, 0, "0"))


def failed_response(*, reports: bool) -> bytes:
    """A Response without any output (https://platform.openai.com/docs/api-reference/responses/object)."""
    usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    response = {"id": "resp_1", "object": "response", "status": "failed", "model": "model-1", "output": []}
    error = {"code": "server_error", "message": "It broke."}
    return json.dumps(response | {"error": error, "usage": usage if reports else None}).encode()
