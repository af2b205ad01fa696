"""openai 0.28.1 for Python, in an environment of its own: programs that were never moved to 1.0 work unchanged."""

import base64
import struct
import time
from typing import Any

import pytest

from clients.aimock import HELLO, HELLO_TOKENS, HELLO_USD
from clients.caller import Caller, tokens
from clients.environments import needs_openai028, openai_028
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    ScriptedUpstream,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)

pytestmark = needs_openai028

ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "say hello"}]}


def legacy(caller: Caller, call: str, base: str = "/v1", key: str | None = None, **fields: Any) -> Any:
    """What the client makes of one call."""
    environment = {"OPENAI_API_BASE": caller.gate.url + base, "OPENAI_API_KEY": key or caller.key}
    job = {"call": call, "with": fields}
    result = openai_028(job, environment)
    assert result["version"] == "0.28.1"
    return result


def words(chunks: list[Any]) -> str:
    """A stream's text, read as the programs of that time read it: every chunk has a choice."""
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


@pytest.mark.parametrize("base", ["/v1", ""])
@pytest.mark.parametrize("call", ["chat", "chat_async"])
def test_a_chat_completion_is_answered_and_charged(caller: Caller, base: str, call: str) -> None:
    result = legacy(caller, call, base, **ASK)

    assert result["answer"]["choices"][0]["message"]["content"] == HELLO
    event = caller.event()
    assert (tokens(event), event["quality"], event["cost_usd"]) == (HELLO_TOKENS, "reported", HELLO_USD)


@pytest.mark.parametrize("base", ["/v1", ""])
@pytest.mark.parametrize("call", ["stream", "stream_async"])
def test_a_stream_shows_no_usage_and_is_charged_all_the_same(caller: Caller, base: str, call: str) -> None:
    result = legacy(caller, call, base, **ASK)

    assert words(result["answer"]) == HELLO
    assert not any("usage" in chunk for chunk in result["answer"])
    event = caller.event()
    assert (tokens(event), event["quality"], event["streamed"]) == (HELLO_TOKENS, "reported", True)


@pytest.mark.parametrize("base", ["/v1", ""])
def test_an_engine_is_the_model(caller: Caller, base: str) -> None:
    result = legacy(caller, "chat", base, engine="gpt-4o-mini", messages=ASK["messages"])

    assert result["answer"]["choices"][0]["message"]["content"] == HELLO
    event = caller.event()
    assert (event["model_asked"], event["dialect"], tokens(event)) == ("gpt-4o-mini", "openai_chat", HELLO_TOKENS)


def test_an_engine_streams(caller: Caller) -> None:
    result = legacy(caller, "stream", engine="gpt-4o-mini", messages=ASK["messages"])

    assert words(result["answer"]) == HELLO
    assert tokens(caller.event()) == HELLO_TOKENS


@pytest.mark.parametrize("named", ["model", "engine"])
def test_embeddings_in_base64_which_the_client_asks_for_unasked_are_decoded(
    scripted_caller: Caller, upstream: ScriptedUpstream, named: str
) -> None:
    packed = base64.b64encode(struct.pack("<3f", 0.5, -0.25, 1.0)).decode()
    upstream.script = json_answer(
        200,
        {
            "object": "list",
            "model": "text-embedding-3-small",
            "data": [{"object": "embedding", "index": 0, "embedding": packed}],
            "usage": {"prompt_tokens": 5, "total_tokens": 5},
        },
    )

    result = legacy(scripted_caller, "embed", input="hello there", **{named: "gpt-4o-mini"})

    sent = upstream.requests[-1]
    assert (sent.path, sent.json()["model"], sent.json()["encoding_format"]) == (
        "/v1/embeddings",
        "gpt-4o-mini",
        "base64",
    )
    assert result["answer"]["data"][0]["embedding"] == [0.5, -0.25, 1.0]
    event = scripted_caller.event()
    assert (tokens(event), event["operation"], event["quality"]) == ((5, 0), "embeddings", "reported")


def test_text_completions_are_answered_and_charged(scripted_caller: Caller, upstream: ScriptedUpstream) -> None:
    text = {"index": 0, "text": " world", "finish_reason": "stop", "logprobs": None}
    answer = {"id": "cmpl-1", "object": "text_completion", "model": "gpt-4o-mini", "choices": [text]}
    upstream.script = json_answer(200, {**answer, "usage": usage_of(2, 1)})

    result = legacy(scripted_caller, "completion", model="gpt-4o-mini", prompt="hello")

    assert result["answer"]["choices"][0]["text"] == " world"
    assert (tokens(scripted_caller.event()), scripted_caller.event()["operation"]) == ((2, 1), "text_completion")


def test_the_models_are_those_that_the_gate_has(caller: Caller) -> None:
    listed = [model["id"] for model in legacy(caller, "models")["answer"]["data"]]

    assert {"gpt-4o-mini", "team/quick", "text-embedding-3-small"} <= set(listed)


def test_a_recording_is_uploaded_and_its_words_come_back(caller: Caller) -> None:
    result = legacy(caller, "transcribe", model="whisper-1", sound="not really " * 50_000)

    assert result["answer"]["text"] == "A cat sat on a mat."
    assert (caller.event()["operation"], caller.event()["outcome"]) == ("transcription", "ok")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_file_goes_up_comes_down_and_goes_away(caller: Caller, name: str) -> None:
    content = '{"prompt": "kůň"}\n' * 1000

    result = legacy(caller, "file_there_and_back", name=name, content=content)

    assert result["answer"] == {"back": content, "listed": True, "deleted": True}
    assert [(event["operation"], event["outcome"]) for event in caller.events(4)] == [("files", "ok")] * 4


def test_a_wrong_key_is_an_authentication_error(caller: Caller) -> None:
    result = legacy(caller, "chat", key="tk-nobody", **ASK)

    assert (result["error"], result["status"]) == ("AuthenticationError", 401)
    assert caller.events(0) == []


def test_an_unknown_model_is_an_invalid_request_error(caller: Caller) -> None:
    result = legacy(caller, "chat", model="gpt-99", messages=[])

    assert (result["error"], result["status"], result["code"]) == ("InvalidRequestError", 404, "model_not_found")
    assert caller.events(0) == []


def test_a_providers_429_is_a_rate_limit_error(caller: Caller) -> None:
    result = legacy(caller, "chat", model="gpt-4o-mini", messages=[{"role": "user", "content": "too many"}])

    assert (result["error"], result["status"], result["message"]) == ("RateLimitError", 429, "Slow down.")
    assert (caller.event()["outcome"], caller.event()["status"]) == ("error", 429)


def test_a_providers_500_is_an_api_error(caller: Caller) -> None:
    result = legacy(caller, "chat", model="gpt-4o-mini", messages=[{"role": "user", "content": "fall over"}])

    assert (result["error"], result["status"]) == ("APIError", 500)
    assert "It fell over." in result["message"]
    assert (caller.event()["outcome"], caller.event()["status"]) == ("upstream_error", 500)


@pytest.mark.parametrize("call", ["stream", "stream_async"])
def test_a_stream_that_its_provider_breaks_off_raises(
    scripted_caller: Caller, upstream: ScriptedUpstream, call: str
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        for event in chat_events(["Once ", "upon "], None, finish=False):
            connection.chunk(event)
        time.sleep(0.05)
        connection.reset()

    upstream.script = script

    result = legacy(scripted_caller, call, **ASK)

    assert (result.get("error"), result.get("answer")) == ("APIError", None)
    event = scripted_caller.event()
    assert (event["outcome"], event["quality"]) == ("upstream_cut", "counted")
    assert event["output_tokens"] > 0


def test_an_error_event_in_a_stream_raises_what_the_provider_said(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    broken = (
        b'data: {"error":{"message":"The server had an error.","type":"server_error","param":null,"code":"boom"}}\n\n'
    )
    upstream.script = event_stream(b"".join(chat_events(["Hel"], None, finish=False)) + broken)

    result = legacy(scripted_caller, "stream", **ASK)

    assert result["error"] == "APIError"
    assert "The server had an error." in result["message"]
    assert (scripted_caller.event()["outcome"], scripted_caller.event()["error_code"]) == ("error", "boom")


def test_a_provider_that_stays_on_the_line_after_done_does_not_keep_the_client_waiting(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(b"".join(chat_events(["Hi"], usage_of(9, 1))))
        connection.wait_for_peer_to_close(30)

    upstream.script = script

    result = legacy(scripted_caller, "stream", **ASK)

    assert words(result["answer"]) == "Hi"
    assert result["seconds"] < 3.5, "silence is given up on after four seconds"
    assert (scripted_caller.event()["outcome"], tokens(scripted_caller.event())) == ("ok", (9, 1))


def test_a_providers_409_does_not_send_the_client_round_in_circles(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(409, {"error": {"message": "Busy.", "type": "conflict", "param": None, "code": None}})

    result = legacy(scripted_caller, "chat", **ASK, timeout=0.5)

    assert "Busy." in result["message"]
    assert len(scripted_caller.gate.events(key=scripted_caller.id)) == 1
