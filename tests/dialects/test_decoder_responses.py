"""Responses streams, whatever servers leave out of them, become ordered neutral pieces."""

import json
from typing import Any

import pytest

from kit.translations import RESPONSES, SITTING, decoded
from tollkeeper.core.answers import gathered
from tollkeeper.core.conversation import Foreign, Reasoning, Refusal, Seal, Text, ToolUse
from tollkeeper.core.deltas import Cited, End, Failed, Start

MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
TEXT = {"type": "output_text", "text": "ab", "annotations": []}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "enc"}


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def item(kind: str, index: int, found: dict[str, Any]) -> bytes:
    return event(f"response.output_item.{kind}", output_index=index, item=found)


CREATED = event("response.created", response={"id": "resp_1", "model": "m", "created_at": 7.0, "status": "in_progress"})


def completed(*output: dict[str, Any], status: str = "completed", **members: Any) -> bytes:
    return event(f"response.{status}", response={"id": "resp_1", "status": status, "output": output, **members})


def blocks(*events: bytes) -> list[Any]:
    choices = gathered(decoded(RESPONSES, CREATED + b"".join(events))).choices
    return list(choices[0].blocks)


FULL_TEXT = [
    item("added", 0, MESSAGE),
    event("response.content_part.added", output_index=0, content_index=0, part={"type": "output_text", "text": ""}),
    event("response.output_text.delta", output_index=0, content_index=0, delta="a"),
    event("response.output_text.delta", output_index=0, content_index=0, delta="b"),
    event("response.output_text.done", output_index=0, content_index=0, text="ab"),
    event("response.content_part.done", output_index=0, content_index=0, part=TEXT),
    item("done", 0, {**MESSAGE, "content": [TEXT]}),
    completed({**MESSAGE, "content": [TEXT]}),
]


@pytest.mark.parametrize(
    "kept", [range(8), [0, 2, 3, 7], [2, 3, 7], [0, 4, 7], [0, 6, 7], [6, 7], [7], [0, 2, 3, 6, 7]]
)
def test_words_are_said_once_whatever_is_left_out(kept: Any) -> None:
    assert blocks(*[FULL_TEXT[index] for index in kept]) == [Text("ab")]


FULL_CALL = [
    item("added", 0, CALL),
    event("response.function_call_arguments.delta", output_index=0, delta='{"x":'),
    event("response.function_call_arguments.delta", output_index=0, delta="1}"),
    event("response.function_call_arguments.done", output_index=0, arguments='{"x":1}'),
    item("done", 0, {**CALL, "arguments": '{"x":1}'}),
    completed({**CALL, "arguments": '{"x":1}'}),
]


@pytest.mark.parametrize("kept", [range(6), [0, 1, 2, 5], [0, 3, 5], [0, 4, 5], [4, 5], [5], [0, 5]])
def test_a_call_is_made_once_whatever_is_left_out(kept: Any) -> None:
    answer = gathered(decoded(RESPONSES, CREATED + b"".join(FULL_CALL[index] for index in kept)))

    assert answer.choices[0].blocks == (ToolUse("call_1", "f", '{"x":1}'),)
    assert answer.choices[0].stop == "tool"


def test_interleaved_calls_are_kept_apart() -> None:
    other = {**CALL, "id": "fc_2", "call_id": "call_2", "name": "g"}
    found = blocks(
        item("added", 0, CALL),
        item("added", 1, other),
        event("response.function_call_arguments.delta", output_index=1, delta="{}"),
        event("response.function_call_arguments.delta", output_index=0, delta="{}"),
        item("done", 1, {**other, "arguments": "{}"}),
        item("done", 0, {**CALL, "arguments": "{}"}),
        completed(),
    )

    assert found == [ToolUse("call_1", "f", "{}"), ToolUse("call_2", "g", "{}")]


def test_summaries_are_one_thought_with_its_seal_and_item() -> None:
    found = blocks(
        item("added", 0, THOUGHT),
        event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="a"),
        event("response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="b"),
        item("done", 0, {**THOUGHT, "summary": [{"type": "summary_text", "text": "a"}]}),
        completed(),
    )

    assert found == [Reasoning("a\n\nb", Seal("rs_1:enc", "someone"))]


def test_reasoning_without_words_is_redacted_and_without_a_seal_nothing() -> None:
    silent = {"type": "reasoning", "id": "rs_2", "summary": []}

    assert blocks(item("added", 0, THOUGHT), item("done", 0, THOUGHT), item("done", 1, silent), completed()) == [
        Reasoning("", Seal("rs_1:enc", "someone"), redacted=True)
    ]


def test_a_call_s_seal_comes_before_it() -> None:
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "tk1c.gemini.s"}
    found = blocks(item("done", 0, sealed), item("added", 1, CALL), item("done", 1, CALL), completed())

    assert found == [ToolUse("call_1", "f", "", seal=Seal("s", "gemini"))]


def test_custom_calls_refusals_and_hosted_tools_are_read() -> None:
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "g", "input": ""}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    found = blocks(
        item("added", 0, search),
        item("done", 0, search),
        event("response.refusal.delta", output_index=1, content_index=0, delta="no"),
        item("added", 2, custom),
        event("response.custom_tool_call_input.delta", output_index=2, delta="free"),
        item("done", 2, {**custom, "input": "free"}),
        completed(),
    )

    assert isinstance(found[0], Foreign)
    assert json.loads(found[0].data) == search
    assert found[1:] == [Refusal("no"), ToolUse("c", "g", "free", custom=True)]


def test_citations_and_log_probabilities_are_kept() -> None:
    likely = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
    place = {"type": "url_citation", "url": "https://a", "title": "t", "start_index": 0, "end_index": 1}
    found = decoded(
        RESPONSES,
        CREATED
        + item("added", 0, MESSAGE)
        + event("response.output_text.delta", output_index=0, content_index=0, delta="a", logprobs=likely)
        + event("response.output_text.annotation.added", output_index=0, content_index=0, annotation=place)
        + completed(),
    )
    cited = next(piece.citation for piece in found if isinstance(piece, Cited))

    assert (cited.url, cited.start, cited.end) == ("https://a", 0, 1)
    text = gathered(found).choices[0].blocks[0]
    assert isinstance(text, Text)
    assert text.logprobs is not None
    assert text.logprobs[0].token == "a"


@pytest.mark.parametrize(
    ("reason", "stop"), [("max_output_tokens", "length"), ("content_filter", "filter"), ("brand_new", "length")]
)
def test_an_incomplete_response_says_why(reason: str, stop: str) -> None:
    raw = CREATED + completed(status="incomplete", incomplete_details={"reason": reason})

    assert gathered(decoded(RESPONSES, raw)).choices[0].stop == stop


@pytest.mark.parametrize(
    ("last", "status", "code"),
    [
        (event("error", code="rate_limit_exceeded", message="m", param=None), 429, "rate_limit_exceeded"),
        (event("error", error={"code": "server_error", "message": "m"}), 500, "server_error"),
        (completed(status="failed", error={"code": "server_error", "message": "m"}), 500, "server_error"),
    ],
)
def test_a_failure_ends_the_stream(last: bytes, status: int, code: str) -> None:
    found = decoded(RESPONSES, CREATED + last + completed())

    assert isinstance(found[-1], Failed)
    assert (found[-1].failure.message, found[-1].failure.status, found[-1].failure.code) == ("m", status, code)


def test_a_stream_that_only_has_its_last_event_is_whole() -> None:
    found = decoded(RESPONSES, completed({**MESSAGE, "content": [TEXT]}, usage={"input_tokens": 1, "output_tokens": 2}))

    assert isinstance(found[0], Start)
    assert isinstance(found[-1], End)
    assert gathered(found).choices[0].blocks == (Text("ab"),)


def test_what_is_odd_is_passed_over() -> None:
    odd = event("response.output_text.delta", output_index=0, content_index=0, delta=7) + b"data: [DONE]\n\n"
    found = blocks(event("response.brand_new", x=1), odd, item("done", 5, {"type": None}), FULL_TEXT[7])

    assert found == [Foreign("openai_responses", b'{"type":null}'), Text("ab")]
    with pytest.raises(ValueError, match=r"."):
        RESPONSES.decoder(SITTING).feed(b"data: words\n\n")
