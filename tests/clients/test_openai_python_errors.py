"""The newest openai for Python when things go wrong: the error class that users catch, and what the ledger says of it."""

import base64
import struct
import time
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from clients.caller import Caller, tokens
from clients.talking import TalkingOn
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

ASK = [{"role": "user", "content": "say hello"}]
LIMITED = {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}


@pytest.fixture
def client(scripted_caller: Caller) -> Iterator[OpenAI]:
    """Nothing is tried twice, so that one failure is one event."""
    with OpenAI(base_url=scripted_caller.base_url, api_key=scripted_caller.key, max_retries=0) as made:
        yield made


def test_a_wrong_key_is_an_authentication_error_and_reaches_no_provider(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    before = len(upstream.requests)
    with (
        OpenAI(base_url=scripted_caller.base_url, api_key="tk-nobody") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id
    assert len(upstream.requests) == before
    assert scripted_caller.gate.events(request_id=caught.value.request_id) == []


def test_an_unknown_model_is_a_not_found_error_and_no_event(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    before = len(upstream.requests)
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-99", messages=ASK)

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "gpt-99" in caught.value.message
    assert len(upstream.requests) == before
    assert scripted_caller.events(0) == []


def test_a_providers_429_is_a_rate_limit_error_with_its_headers(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(429, LIMITED, "retry-after: 7", "x-ratelimit-remaining-requests: 0")
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    error = caught.value
    assert (error.code, error.type) == ("rate_limit_exceeded", "requests")
    assert error.response.headers["retry-after"] == "7"
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    event = scripted_caller.event()
    assert (event["outcome"], event["status"], tokens(event), event["cost_usd"]) == ("error", 429, (0, 0), "0")


def test_a_client_that_tries_again_waits_as_the_provider_says_and_pays_for_the_answer_alone(
    scripted_caller: Caller, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(
        [
            json_answer(429, LIMITED, "retry-after-ms: 20"),
            json_answer(500, {"error": {"message": "It fell over."}}, "retry-after-ms: 20"),
            json_answer(200, chat_answer("Finally.", 9, 3)),
        ]
    )
    upstream.script = lambda request, connection: next(answers)(request, connection)
    paused: list[float] = []
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (paused.append(seconds), sleep(seconds)))
    with OpenAI(base_url=scripted_caller.base_url, api_key=scripted_caller.key, max_retries=2) as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert answer.choices[0].message.content == "Finally."
    assert paused == [0.02, 0.02], "its own pauses would be half a second and more"
    monkeypatch.undo()
    events = scripted_caller.events(3)
    assert [(event["outcome"], event["status"]) for event in events] == [
        ("error", 429),
        ("upstream_error", 500),
        ("ok", 200),
    ]
    assert [tokens(event) for event in events] == [(0, 0), (0, 0), (9, 3)]
    assert len({event["request_id"] for event in events}) == 3


def test_a_providers_500_is_an_internal_server_error(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(500, {"error": {"message": "It fell over.", "type": "server_error", "code": None}})
    with pytest.raises(openai.InternalServerError, match="It fell over") as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert caught.value.status_code == 500
    event = scripted_caller.event()
    assert (event["outcome"], event["status"], tokens(event), event["cost_usd"]) == ("upstream_error", 500, (0, 0), "0")


def test_a_providers_400_keeps_its_code_and_param(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    said = {
        "message": "This model's maximum context length is 128000 tokens.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    upstream.script = json_answer(400, {"error": said})
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert caught.value.body == said
    assert (scripted_caller.event()["outcome"], scripted_caller.event()["status"]) == ("error", 400)


def test_a_provider_that_refuses_the_gates_key_is_not_asked_again_and_nothing_of_the_key_is_shown(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(
        401, {"error": {"message": "Incorrect API key provided: sk-prov*********6789.", "code": "invalid_api_key"}}
    )
    with (
        OpenAI(base_url=scripted_caller.base_url, api_key=scripted_caller.key, max_retries=2) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert (caught.value.status_code, caught.value.code) == (502, "upstream_auth_failed")
    assert "sk-prov" not in str(caught.value)
    assert (scripted_caller.event()["outcome"], scripted_caller.event()["status"]) == ("upstream_error", 401)


def test_an_error_event_in_a_stream_raises_what_the_provider_said(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    broken = (
        b'data: {"error":{"message":"The server had an error.","type":"server_error","param":null,"code":"boom"}}\n\n'
    )
    upstream.script = event_stream(b"".join(chat_events(["Hel", "lo"], None, finish=False)) + broken)
    words: list[str | None] = []
    with (
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True) as stream,
        pytest.raises(openai.APIError, match="had an error") as caught,
    ):
        words.extend(chunk.choices[0].delta.content for chunk in stream)

    assert words == ["Hel", "lo"]
    assert caught.value.code == "boom"
    event = scripted_caller.event()
    assert (event["outcome"], event["error_code"], event["quality"]) == ("error", "boom", "counted")
    assert event["output_tokens"] > 0


@pytest.mark.parametrize("how", ["reset", "close", "clean end"])
def test_a_stream_that_its_provider_breaks_off_raises_after_all_that_came(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream, how: str
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        for event in chat_events(["Once ", "upon ", "a "], None, finish=False):
            connection.chunk(event)
            time.sleep(0.02)
        if how == "reset":
            connection.reset()
        elif how == "clean end":
            connection.end()

    upstream.script = script
    words: list[str | None] = []
    with (
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True) as stream,
        pytest.raises(openai.APIError) as caught,
    ):
        words.extend(chunk.choices[0].delta.content for chunk in stream)

    assert words == ["Once ", "upon ", "a "]
    assert caught.value.code in ("upstream_cut", "upstream_reset")
    event = scripted_caller.event()
    assert (event["outcome"], event["quality"]) == ("upstream_cut", "counted")
    assert event["input_tokens"] > 0
    assert event["output_tokens"] == 4


def test_a_streamed_response_that_breaks_off_raises(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    created = (
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1",'
        b'"object":"response","created_at":1,"model":"gpt-4o-mini","status":"in_progress","output":[]}}\n\n'
    )

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(created)
        time.sleep(0.02)

    upstream.script = script
    kinds: list[str] = []
    with (
        client.responses.create(model="gpt-4o-mini", input="say hello", stream=True) as stream,
        pytest.raises(openai.APIError),
    ):
        kinds.extend(event.type for event in stream)

    assert kinds[0] == "response.created"
    assert "response.completed" not in kinds
    assert scripted_caller.event()["outcome"] == "upstream_cut"


def test_an_answer_that_breaks_off_is_an_error_and_not_half_an_answer(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n")
        connection.send(b'{"id":"chatcmpl-1","object":"chat.completion",')

    upstream.script = script
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert (caught.value.status_code, caught.value.code) == (502, "upstream_cut")
    assert scripted_caller.event()["outcome"] == "upstream_cut"


def test_a_client_that_leaves_a_stream_midway_is_charged_once_for_all_that_the_provider_reports(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = talking = TalkingOn(chat_events(["one ", "two ", "three ", "four "], usage_of(9, 4)))
    with client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True) as stream:
        for _ in stream:
            break

    talking.listener_has_gone()
    event = scripted_caller.event()
    assert tokens(event) == (9, 4)
    assert (event["outcome"], event["quality"]) == ("client_left", "reported")


def test_a_client_that_stops_at_done_has_not_left_early(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(b"".join(chat_events(["Hi"], usage_of(9, 1))))
        connection.wait_for_peer_to_close(30)

    upstream.script = script
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
    assert len(list(stream)) == 2

    event = scripted_caller.event()
    assert (event["outcome"], tokens(event)) == ("ok", (9, 1))


def test_embeddings_in_base64_which_the_client_asks_for_unasked_are_decoded(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    numbers = [0.5, -0.25, 1.0]
    packed = base64.b64encode(struct.pack("<3f", *numbers)).decode()
    upstream.script = json_answer(
        200,
        {
            "object": "list",
            "model": "text-embedding-3-small",
            "data": [{"object": "embedding", "index": 0, "embedding": packed}],
            "usage": {"prompt_tokens": 5, "total_tokens": 5},
        },
    )

    answer = client.embeddings.create(model="gpt-4o-mini", input="hello there")

    assert upstream.requests[-1].json()["encoding_format"] == "base64"
    assert answer.data[0].embedding == numbers
    event = scripted_caller.event()
    assert (tokens(event), event["operation"], event["quality"]) == ((5, 0), "embeddings", "reported")
