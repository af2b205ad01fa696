"""The newest openai for Node: the same gate seen by another language's client."""

import base64
import json
import random
import struct
import time
from typing import Any

import pytest

from clients.aimock import FIXTURES, HELLO, HELLO_TOKENS, HELLO_USD
from clients.caller import Caller, tokens
from clients.environments import needs_node, openai_node
from clients.talking import TalkingOn
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

pytestmark = needs_node

ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "say hello"}]}


def node(caller: Caller, call: str, *, key: str | None = None, **fields: Any) -> Any:
    """What the client makes of one call."""
    environment = {"OPENAI_BASE_URL": caller.base_url, "OPENAI_API_KEY": key or caller.key}
    return openai_node({"call": call, "with": fields}, environment)


def test_a_chat_completion_is_answered_and_charged(caller: Caller) -> None:
    answer = node(caller, "chat", **ASK)["answer"]

    assert answer["choices"][0]["message"]["content"] == HELLO
    event = caller.event()
    assert (tokens(event), event["quality"], event["cost_usd"]) == (HELLO_TOKENS, "reported", HELLO_USD)


def test_a_stream_without_include_usage_shows_none_and_is_charged_all_the_same(caller: Caller) -> None:
    chunks = node(caller, "stream", **ASK)["answer"]

    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == HELLO
    assert not any("usage" in chunk for chunk in chunks)
    event = caller.event()
    assert (tokens(event), event["quality"], event["streamed"]) == (HELLO_TOKENS, "reported", True)


def test_a_stream_with_include_usage_ends_with_it(caller: Caller) -> None:
    chunks = node(caller, "stream", **ASK, stream_options={"include_usage": True})["answer"]

    assert chunks[-1]["usage"] == usage_of(*HELLO_TOKENS)
    assert tokens(caller.event()) == HELLO_TOKENS


def test_the_stream_helper_gathers_text_and_usage(caller: Caller) -> None:
    answer = node(caller, "helper", **ASK, stream_options={"include_usage": True})["answer"]

    assert answer["choices"][0]["message"]["content"] == HELLO
    assert answer["usage"] == usage_of(*HELLO_TOKENS)
    assert tokens(caller.event()) == HELLO_TOKENS


def test_a_response_is_answered_plain_and_streamed(caller: Caller) -> None:
    assert node(caller, "respond", model="gpt-4o-mini", input="say hello")["answer"] == HELLO
    assert node(caller, "respondStreamed", model="gpt-4o-mini", input="say hello")["answer"] == HELLO

    assert [tokens(event) for event in caller.events(2)] == [HELLO_TOKENS] * 2


def test_embeddings_in_base64_which_the_client_asks_for_unasked_are_decoded(
    scripted_caller: Caller, upstream: ScriptedUpstream
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

    answer = node(scripted_caller, "embed", model="gpt-4o-mini", input="hello there")["answer"]

    assert upstream.requests[-1].json()["encoding_format"] == "base64"
    assert answer["data"][0]["embedding"] == [0.5, -0.25, 1.0]
    assert tokens(scripted_caller.event()) == (5, 0)


def test_the_models_are_those_that_the_gate_has(caller: Caller) -> None:
    listed = {model["id"] for model in node(caller, "models")["answer"]}

    assert {"gpt-4o-mini", "team/quick", "text-embedding-3-small"} <= listed


def test_a_file_goes_up_comes_down_and_goes_away(caller: Caller) -> None:
    content = base64.b64encode(random.Random(5).randbytes(500_000)).decode()

    answer = node(caller, "fileThereAndBack", name="bytes.bin", base64=content)["answer"]

    assert answer == {"back": content, "listed": True, "deleted": True}
    assert [(event["operation"], event["outcome"]) for event in caller.events(4)] == [("files", "ok")] * 4


def test_sound_goes_up_and_comes_down(caller: Caller) -> None:
    fixtures = json.loads(FIXTURES.read_text("utf-8"))["fixtures"]
    [sound] = [one["response"]["audio"] for one in fixtures if "audio" in one["response"]]

    heard = node(caller, "transcribe", model="whisper-1", text="not really " * 10_000)["answer"]
    spoken = node(caller, "speak", model="tts-1", voice="alloy", input="hello")["answer"]

    assert heard["text"] == "A cat sat on a mat."
    assert base64.b64decode(spoken) == base64.b64decode(sound)
    assert [event["operation"] for event in caller.events(2)] == ["transcription", "speech"]


def test_errors_are_the_classes_that_users_catch(caller: Caller) -> None:
    def failed(text: str, **fields: Any) -> tuple[str, int]:
        result = node(caller, "chat", **{**ASK, "messages": [{"role": "user", "content": text}], **fields})
        return result["error"], result["status"]

    assert failed("say hello", key="tk-nobody") == ("AuthenticationError", 401)
    assert failed("say hello", model="gpt-99") == ("NotFoundError", 404)
    assert failed("too many") == ("RateLimitError", 429)
    assert failed("fall over") == ("InternalServerError", 500)
    events = caller.events(2)
    assert [(event["outcome"], event["status"]) for event in events] == [("error", 429), ("upstream_error", 500)]


@pytest.mark.parametrize("how", ["reset", "clean end"])
def test_a_stream_that_its_provider_breaks_off_raises(
    scripted_caller: Caller, upstream: ScriptedUpstream, how: str
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        for event in chat_events(["Once ", "upon "], None, finish=False):
            connection.chunk(event)
        time.sleep(0.05)
        if how == "reset":
            connection.reset()
        else:
            connection.end()

    upstream.script = script

    result = node(scripted_caller, "stream", **ASK)

    assert result["error"] == "APIError"
    assert result["code"] in ("upstream_cut", "upstream_reset")
    assert (scripted_caller.event()["outcome"], scripted_caller.event()["quality"]) == ("upstream_cut", "counted")


def test_an_error_event_in_a_stream_raises_what_the_provider_said(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    broken = (
        b'data: {"error":{"message":"The server had an error.","type":"server_error","param":null,"code":"boom"}}\n\n'
    )
    upstream.script = event_stream(b"".join(chat_events(["Hel"], None, finish=False)) + broken)

    result = node(scripted_caller, "stream", **ASK)

    assert (result["error"], result["code"]) == ("APIError", "boom")
    assert (scripted_caller.event()["outcome"], scripted_caller.event()["error_code"]) == ("error", "boom")


def test_a_client_that_leaves_a_stream_midway_is_charged_once_for_all_that_the_provider_reports(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = talking = TalkingOn(chat_events(["one ", "two ", "three ", "four "], usage_of(9, 4)))

    assert node(scripted_caller, "leave", **ASK)["answer"]["choices"][0]["delta"]["content"] == "one "

    talking.listener_has_gone()
    event = scripted_caller.event()
    assert (tokens(event), event["outcome"], event["quality"]) == ((9, 4), "client_left", "reported")
