"""Paths of every dialect at the real door: keys, models, errors, embeddings and counts in each one's own form."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.across import ask, config, plays, send
from kit.gate import GateProcess, request, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer

EMBEDDERS = """
[providers.openai_embeddings]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "provider-key-0123456789"
[providers.gemini_embed]
kind = "gemini"
base_url = "http://127.0.0.1:{port}/v1beta/openai"
api_key = "provider-key-0123456789"
speaks = ["gemini_embed"]
[providers.ollama_embed]
kind = "ollama"
base_url = "http://127.0.0.1:{port}/v1"
speaks = ["ollama_embed"]
[models.openai_embeddings]
targets = ["openai_embeddings/embed-1"]
[models.gemini_embed]
targets = ["gemini_embed/embed-1"]
[models.ollama_embed]
targets = ["ollama_embed/embed-1"]
[models."strict"]
targets = ["anthropic_messages/claude-x"]
strict = true
[models."either"]
targets = ["anthropic_messages/claude-x", "openai_chat/gpt-x"]
"""
VECTORS = [[0.5, -1.0], [0.25, 2.0]]
VECTOR_ANSWERS: dict[str, Any] = {
    "openai_embeddings": {
        "object": "list",
        "data": [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(VECTORS)],
        "model": "embed-1",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    },
    "gemini_embed": {
        "embeddings": [{"values": vector} for vector in VECTORS],
        "usageMetadata": {"promptTokenCount": 4},
    },
    "ollama_embed": {"model": "embed-1", "embeddings": VECTORS, "prompt_eval_count": 4},
}
ASKED: dict[str, tuple[str, Any]] = {
    "openai_embeddings": ("/v1/embeddings", {"input": ["one", "two"]}),
    "gemini_embed": (
        "/v1beta/models/{model}:batchEmbedContents",
        {"requests": [{"model": "models/x", "content": {"parts": [{"text": text}]}} for text in ("one", "two")]},
    ),
    "ollama_embed": ("/api/embed", {"input": ["one", "two"]}),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, chat_answer())) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    text = config(upstream.port) + EMBEDDERS.format(port=upstream.port)
    with running_gate(tmp_path_factory.mktemp("gate"), text) as running:
        yield running


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["x-api-key", "x-goog-api-key", "api-key"])
def test_a_key_is_taken_from_the_header_that_a_dialect_has_for_it(gate: GateProcess, key: str, header: str) -> None:
    assert request("GET", gate.url + "/v1/models", {header: key})[0] == 200


def test_a_key_is_taken_from_the_query_on_gemini_s_paths_and_goes_no_further(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, {"candidates": []})
    path = f"/v1beta/models/gemini_generate:generateContent?key={key}"

    status, _, body = request("POST", gate.url + path, {}, {"contents": [{"parts": [{"text": "hi"}]}]})

    assert status == 200, body
    assert key not in upstream.requests[-1].path
    assert request("POST", f"{gate.url}/v1/chat/completions?key={key}", {}, {"model": "m"})[0] == 401


# --- money ----------------------------------------------------------------------------------------------------------


def test_what_is_asked_of_a_path_below_messages_is_charged_and_a_batch_there_is_refused_to_a_budget(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    usage = {"input_tokens": 7, "output_tokens": 5}
    upstream.script = json_answer(200, {"type": "message", "content": [], "usage": usage})
    poor, asked = gate.new_key(budgets=["1 USD/day"]), len(upstream.requests)
    ask = {"model": "anthropic_messages", "max_tokens": 9, "messages": []}

    found = gate.call("POST", "/v1/messages/x", gate.new_key(), ask)
    refused = gate.call(
        "POST",
        "/v1/messages/batches",
        poor,
        {"requests": []},
    )

    event = gate.event(found[1]["x-request-id"])
    assert (found[0], event["input_tokens"], event["output_tokens"]) == (200, 7, 5)
    assert refused[0] == 400, refused
    assert b"price_unknown" in refused[2]
    assert len(upstream.requests) == asked + 1


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat/completions", '{"error":{"message":"Incorrect API key'),
        ("/v1/messages", '{"type":"error","error":{"type":"authentication_error"'),
        ("/v1/messages/count_tokens", '{"type":"error","error":{"type":"authentication_error"'),
        ("/v1/models/m:generateContent", '{"error":{"code":401,"message":"Incorrect'),
        ("/v1beta/models/a/b:streamGenerateContent", '{"error":{"code":401,"message":"Incorrect'),
        ("/api/chat", '{"error":"Incorrect'),
        ("/api/embed", '{"error":"Incorrect'),
    ],
)
def test_an_error_at_the_door_is_in_the_path_s_dialect(gate: GateProcess, path: str, expected: str) -> None:
    status, _, body = request("POST", gate.url + path, {"authorization": "Bearer tk-wrong"}, {"model": "m"})

    assert status == 401
    assert body.decode().startswith(expected)


@pytest.mark.parametrize("client", ["openai_chat", "anthropic_messages", "gemini_generate", "ollama_chat"])
def test_an_unknown_model_is_a_404_in_the_client_s_dialect(gate: GateProcess, key: str, client: str) -> None:
    status, _, body = send(gate, key, ask(client, "nobody-s", stream=False))

    assert status == 404
    assert b"does not exist" in body


@pytest.mark.parametrize(
    ("client", "provider", "said", "expected"),
    [
        (
            "openai_chat",
            "anthropic_messages",
            {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}},
            {"error": {"message": "slow down", "type": "rate_limit_error", "param": None, "code": None}},
        ),
        (
            "anthropic_messages",
            "openai_chat",
            {"error": {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded", "param": None}},
            {
                "type": "error",
                "error": {
                    "type": "rate_limit_error",
                    "message": "slow down",
                    "details": {"error_code": "rate_limit_exceeded"},
                },
            },
        ),
        (
            "ollama_chat",
            "gemini_generate",
            {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}},
            {"error": "slow down"},
        ),
    ],
)
def test_a_provider_s_error_crosses_with_its_status(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, client: str, provider: str, said: Any, expected: Any
) -> None:
    upstream.script = json_answer(429, said, "retry-after: 7")

    status, headers, body = send(gate, key, ask(client, provider, stream=False))

    assert (status, headers["retry-after"], headers["content-type"]) == (429, "7", "application/json")
    assert json.loads(body) == expected


# --- models ---------------------------------------------------------------------------------------------------------


def test_models_are_listed_in_each_dialect_s_form(gate: GateProcess, key: str) -> None:
    def got(path: str, **headers: str) -> Any:
        status, _, body = gate.call("GET", path, key, **headers)
        assert status == 200, body
        return json.loads(body)

    anthropic = {"anthropic_version": "2023-06-01"}
    assert "strict" in [model["id"] for model in got("/v1/models")["data"]]
    listed = got("/v1/models", **anthropic)
    assert (listed["has_more"], {model["type"] for model in listed["data"]}) == (False, {"model"})
    assert got("/v1/models/strict", **anthropic)["type"] == "model"
    assert "models/strict" in [model["name"] for model in got("/v1beta/models")["models"]]
    assert got("/v1/models/strict", x_goog_api_key=key)["name"] == "models/strict"
    assert "strict" in [model["name"] for model in got("/api/tags")["models"]]
    assert got("/api/version")["version"]
    assert got("/api/ps") == {"models": []}
    status, _, body = gate.call("POST", "/api/show", key, {"model": "strict"})
    assert (status, "completion" in json.loads(body)["capabilities"]) == (200, True)


# --- what cannot cross ----------------------------------------------------------------------------------------------


def test_what_is_left_out_is_named_and_a_strict_model_refuses_it(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    answer = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "hi"}]}
    upstream.script = json_answer(200, {**answer, "usage": {"input_tokens": 1, "output_tokens": 1}})

    status, headers, _ = send(gate, key, ask("openai_chat", "anthropic_messages", stream=False, seed=7, odd=1))
    assert (status, headers["x-tollkeeper-dropped"]) == (200, "odd, seed")

    sent = len(upstream.requests)
    status, _, body = send(gate, key, ask("openai_chat", "strict", stream=False, seed=7))
    assert (status, json.loads(body)["error"]["param"]) == (400, "seed")
    assert len(upstream.requests) == sent


def test_a_target_that_cannot_carry_a_request_is_passed_over(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, chat_answer())

    status, headers, _ = send(gate, key, ask("openai_chat", "either", stream=False, n=2))

    assert (status, headers["x-tollkeeper-model"]) == (200, "openai_chat/gpt-x")


@pytest.mark.parametrize("member", ["previous_response_id", "background"])
def test_what_rests_on_a_provider_s_memory_is_refused_where_it_cannot_be_relayed(
    gate: GateProcess, key: str, member: str
) -> None:
    value: Any = "resp_1" if member == "previous_response_id" else True

    status, _, body = send(gate, key, ask("openai_responses", "openai_chat", stream=False, **{member: value}))

    assert (status, json.loads(body)["error"]["param"]) == (400, member)


# --- embeddings, counts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", VECTOR_ANSWERS)
@pytest.mark.parametrize("client", ASKED)
def test_embeddings_cross_and_are_charged(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, client: str, provider: str
) -> None:
    upstream.script = json_answer(200, VECTOR_ANSWERS[provider])
    path, body = ASKED[client]

    status, headers, found = gate.call("POST", path.replace("{model}", provider), key, {**body, "model": provider})

    assert status == 200, found
    answer = json.loads(found)
    expected = VECTOR_ANSWERS[client]
    if client == "gemini_embed":
        assert answer["embeddings"] == expected["embeddings"]
    else:
        named = provider if provider == "gemini_embed" else "embed-1"  # its answers name no model
        assert answer == {**expected, "model": named}
    assert gate.event(headers["x-request-id"])["input_tokens"] == 4


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "Hello there"}]}, "input_tokens"),
        ("/v1/responses/input_tokens", {"input": "Hello there"}, "input_tokens"),
        ("/v1beta/models/ollama_chat:countTokens", {"contents": [{"parts": [{"text": "Hello there"}]}]}, "totalTokens"),
    ],
)
def test_tokens_are_counted_for_a_provider_who_does_not_and_the_count_is_called_an_estimate(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, path: str, body: Any, said: str
) -> None:
    sent = len(upstream.requests)

    status, headers, found = gate.call("POST", path, key, {"model": "ollama_chat", **body})

    assert status == 200, found
    assert 2 <= json.loads(found)[said] <= 12
    assert headers["x-tollkeeper-estimated"] == "input_tokens"
    assert len(upstream.requests) == sent


@pytest.mark.parametrize(
    ("path", "model", "answer", "asked"),
    [
        ("/v1/messages/count_tokens", "anthropic_messages", {"input_tokens": 42}, "/v1/messages/count_tokens"),
        ("/v1/responses/input_tokens", "openai_responses", {"input_tokens": 42}, "/v1/responses/input_tokens"),
        (
            "/v1beta/models/gemini_generate:countTokens",
            "gemini_generate",
            {"totalTokens": 42},
            "/v1beta/models/model-1:countTokens",
        ),
    ],
)
def test_a_provider_s_own_count_is_relayed_and_costs_nothing(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, path: str, model: str, answer: Any, asked: str
) -> None:
    upstream.script = json_answer(200, answer)

    status, headers, found = gate.call("POST", path, key, {"model": model, "contents": []})

    assert (status, json.loads(found)) == (200, answer)
    assert upstream.requests[-1].path == asked
    assert "x-tollkeeper-estimated" not in headers
    assert gate.event(headers["x-request-id"])["cost_usd"] == "0"


def test_gemini_s_stream_without_sse_is_one_json_array(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    chunk = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
    upstream.script = plays("gemini_generate", b"data: %b\r\n\r\n" % json.dumps(chunk).encode(), stream=True)
    body = {"contents": [{"parts": [{"text": "hi"}]}]}

    status, headers, found = gate.call("POST", "/v1beta/models/gemini_generate:streamGenerateContent", key, body)

    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(found)[0]["candidates"][0]["content"]["parts"] == [{"text": "Hi"}]
    assert upstream.requests[-1].path.endswith(":streamGenerateContent?alt=sse")
