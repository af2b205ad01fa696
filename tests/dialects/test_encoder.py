"""What clients get: each dialect's order and forms, whatever order the pieces come in."""

import json
from typing import Any

import pytest

from kit.translations import ANTHROPIC, CHAT, IDENTITY, encoded
from tollkeeper.core.conversation import Citation, Foreign, Seal, TokenLogprob
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    End,
    Failed,
    Failure,
    Finish,
    ForeignPiece,
    Ping,
    ReasoningStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Identity
from tollkeeper.core.usage import Reported, Usage

START = Start("id-1", "model-2", 9)
USAGE = UsageNoted(Reported(Usage(input_tokens=10, cached_input_tokens=4, output_tokens=3, reasoning_tokens=1), b"{}"))


def data(raw: bytes) -> list[Any]:
    found = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]
    return ["[DONE]" if one == b"[DONE]" else json.loads(one) for one in found]


def chat(*deltas: Delta, identity: Identity = IDENTITY) -> list[Any]:
    return data(encoded(CHAT, [START, *deltas], identity))[1:]


def messages(*deltas: Delta) -> list[Any]:
    return data(encoded(ANTHROPIC, [START, *deltas]))[1:]


def said(chunks: list[Any]) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk != "[DONE]" and chunk["choices"]]


# --- Chat Completions -----------------------------------------------------------------------------------------------


def test_a_chat_stream_is_byte_for_byte_as_openai_writes_it() -> None:
    raw = encoded(CHAT, [START, TextStart(0), TextDelta(0, 'a"é'), BlockEnd(0), Finish("end"), End()])
    head = b'data: {"id":"id-1","object":"chat.completion.chunk","created":9,"model":"model-2",'
    head += b'"choices":[{"index":0,"delta":'

    assert raw == (
        head + b'{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
        + head + '{"content":"a\\"é"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'.encode()
        + head + b'{},"logprobs":null,"finish_reason":"stop"}],"usage":null}\n\ndata: [DONE]\n\n'
    )  # fmt: skip


def test_usage_is_the_last_chunk_and_only_for_those_who_asked() -> None:
    asked = chat(USAGE, Finish("end"), End())
    silent = chat(USAGE, Finish("end"), End(), identity=Identity(id="r", created=1, model="m", stream_usage=False))

    assert asked[-1] == "[DONE]"
    assert asked[-2]["choices"] == []
    assert asked[-2]["usage"]["prompt_tokens_details"]["cached_tokens"] == 4
    assert [chunk.get("usage") for chunk in asked[:-2]] == [None]
    assert all("usage" not in chunk for chunk in silent[:-1])
    assert len(silent) == 2


def test_tools_are_counted_apart_from_blocks_and_named_once() -> None:
    found = said(
        chat(
            TextStart(0), TextDelta(0, "t"), BlockEnd(0),
            ToolStart(1, "a", "f"), ToolStart(2, "b", "g"),
            TextDelta(2, '{"y"'), TextDelta(1, '{"x":1}'), TextDelta(2, ":2}"), BlockEnd(1), BlockEnd(2),
        )
    )  # fmt: skip
    calls = [delta["tool_calls"][0] for delta in found if "tool_calls" in delta]

    assert [call["index"] for call in calls] == [0, 1, 1, 0, 1]
    assert calls[0] == {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert all(call.keys() == {"index", "function"} for call in calls[2:])


def test_a_call_without_arguments_has_an_empty_object() -> None:
    found = said(chat(ToolStart(0, "a", "f"), BlockEnd(0)))

    assert found[-1] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


def test_a_seal_travels_wrapped_with_all_that_it_signs() -> None:
    found = said(
        chat(ReasoningStart(0), TextDelta(0, "h"), TextDelta(0, "m"), Sealed(0, Seal("s", "claude")), BlockEnd(0))
    )

    assert [delta.get("reasoning_content") for delta in found] == ["h", "m", None]
    assert found[-1]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "signature": "tk1.claude.s", "format": "tollkeeper", "index": 0}
    ]


def test_citations_say_which_words_rest_on_them() -> None:
    web, book = Citation("https://a", "t"), Citation(title="book")
    found = said(
        chat(
            TextStart(0),
            TextDelta(0, "abc"),
            BlockEnd(0),
            TextStart(1),
            TextDelta(1, "de"),
            Cited(1, web),
            Cited(1, book),
            BlockEnd(1),
        )
    )

    place = {"url": "https://a", "title": "t", "start_index": 3, "end_index": 5}
    assert found[-1] == {"annotations": [{"type": "url_citation", "url_citation": place, "index": 0}]}


def test_log_probabilities_stand_beside_their_words() -> None:
    likely = (TokenLogprob("a", -0.1, (97,), (TokenLogprob("b", -2.0),)),)
    chunk = chat(TextStart(0), TextDelta(0, "a", likely))[-1]

    assert chunk["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["token"] == "b"


def test_every_choice_begins_with_its_role() -> None:
    found = chat(TextStart(0, 1), TextDelta(0, "x"), BlockEnd(0), Finish("end", None, 1))

    assert [chunk["choices"][0]["index"] for chunk in found] == [1, 1, 1]
    assert found[0]["choices"][0]["delta"]["role"] == "assistant"


def test_an_error_is_the_last_thing_and_a_ping_no_event_of_its_own() -> None:
    raw = encoded(CHAT, [START, Ping(), Failed(Failure("m", 429, code="c")), Finish("end"), End()])

    assert b": ping\ndata: " in raw
    assert data(raw)[-1] == {"error": {"message": "m", "type": "rate_limit_error", "param": None, "code": "c"}}


# --- Anthropic Messages ---------------------------------------------------------------------------------------------


def test_a_messages_stream_is_byte_for_byte_as_anthropic_writes_it() -> None:
    raw = encoded(ANTHROPIC, [START, TextStart(0), TextDelta(0, "a"), BlockEnd(0), Finish("end"), USAGE, End()])

    assert raw.decode().split("\n\n") == [
        'event: message_start\ndata: {"type":"message_start","message":{"id":"id-1","type":"message","role":"assistant",'
        '"model":"model-2","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,'
        '"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}',
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"a"}}',
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}',
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"input_tokens":6,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":3,'
        '"output_tokens_details":{"thinking_tokens":1}}}',
        'event: message_stop\ndata: {"type":"message_stop"}',
        "",
    ]


def test_interleaved_calls_become_blocks_one_after_the_other() -> None:
    found = messages(
        ToolStart(0, "a", "f"), ToolStart(1, "functions.g:0", "g"),
        TextDelta(1, '{"y"'), TextDelta(0, '{"x":1}'), TextDelta(1, ":2}"), Finish("tool"), End(),
    )  # fmt: skip
    kinds = [(event["type"], event.get("index")) for event in found]

    assert kinds == [
        ("content_block_start", 0), ("content_block_delta", 0), ("content_block_stop", 0),
        ("content_block_start", 1), ("content_block_delta", 1), ("content_block_delta", 1), ("content_block_stop", 1),
        ("message_delta", None), ("message_stop", None),
    ]  # fmt: skip
    assert found[3]["content_block"]["id"].startswith("toolu_tk_")


def test_a_block_without_words_is_not_begun() -> None:
    assert messages(TextStart(0), BlockEnd(0), ReasoningStart(1), BlockEnd(1)) == []


def test_a_call_s_seal_travels_as_reasoning_before_it() -> None:
    found = messages(ToolStart(0, "a", "f", seal=Seal("s", "gemini")), BlockEnd(0))

    assert [event["content_block"]["type"] for event in found if "content_block" in event] == ["thinking", "tool_use"]
    assert found[1]["delta"] == {"type": "signature_delta", "signature": "tk1c.gemini.s"}


def test_only_anthropic_s_own_foreign_pieces_pass() -> None:
    own, other = ForeignPiece("anthropic_messages", b'{"type":"x"}'), ForeignPiece("openai_chat", b"{}")

    assert [event["type"] for event in messages(own, other)] == ["content_block_start", "content_block_stop"]


def test_a_citation_without_an_own_form_becomes_a_search_s() -> None:
    own = Citation(own=Foreign("anthropic_messages", b'{"type":"char_location"}'))
    found = messages(TextStart(0), TextDelta(0, "a"), Cited(0, Citation("https://a", "t", "w")), Cited(0, own))

    assert found[2]["delta"]["citation"]["url"] == "https://a"
    assert found[3]["delta"]["citation"] == {"type": "char_location"}


@pytest.mark.parametrize("status", [400, 429, 500, 529])
def test_an_error_has_its_name(status: int) -> None:
    raw = encoded(ANTHROPIC, [START, Failed(Failure("m", status)), End()])

    assert raw.split(b"\n\n")[1].startswith(b'event: error\ndata: {"type":"error","error":{"type":"')
    assert raw.endswith(b"}\n\n")
