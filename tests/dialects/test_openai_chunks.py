"""Chat streams as they pass: what was said, how it ended, what it is charged by."""

import json
from typing import Any

import pytest

from tollkeeper.dialects.openai_chunks import ChunkReader

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-mini"}


def event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def test_what_was_delivered_is_known_whatever_its_kind() -> None:
    reader = ChunkReader(hide_usage=False)
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": "a"},
        {"content": None, "reasoning_content": "b"},
        {"reasoning": "c"},
        {"refusal": "d"},
        {"function_call": {"name": "e", "arguments": "f"}},
        {"tool_calls": [{"index": 0, "id": "no", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "h"}}]},
        {"content": [{"type": "text", "text": "i"}]},
    ]
    for delta in deltas:
        reader.read(event({**HEAD, "choices": [{"index": 0, "delta": delta}]}))
    reader.read(event({**HEAD, "choices": [{"index": 0, "text": "j"}]}))
    for _ in range(1000):
        reader.read(event({**HEAD, "choices": [{"index": 0, "delta": {"content": "."}}]}))

    assert reader.delivered() == "abcdefghij" + "." * 1000


@pytest.mark.parametrize("finish", [{"content": "x"}, {"content": ["odd"]}])
def test_a_finish_reason_ends_a_stream_as_well_as_done_does(finish: dict[str, Any]) -> None:
    reader = ChunkReader(hide_usage=False)

    assert not reader.finished
    reader.read(event({**HEAD, "choices": [{"index": 0, "delta": finish, "finish_reason": "stop"}]}))

    assert (reader.finished, reader.done, reader.model) == (True, False, "gpt-4o-mini")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "m", "code": "overloaded", "type": "t"}, "overloaded"),
        ({"message": "m", "code": None, "type": "server_error"}, "server_error"),
        ({"message": "m", "code": 429}, "429"),
        ("words", "error"),
        (None, None),
    ],
)
def test_an_error_in_the_stream_is_known_by_its_code(error: Any, expected: str | None) -> None:
    reader = ChunkReader(hide_usage=True)
    raw = event({"error": error})

    assert reader.read(raw) == raw
    assert (reader.error_code, reader.finished) == (expected, expected is not None)


@pytest.mark.parametrize(
    "data", [b"{", b"words", b"", b"[]", b"{}x", b'{"a":' * 20_000, b'{"choices":[' + b"[" * 20_000]
)
def test_what_is_no_json_object_is_not_of_this_dialect(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ChunkReader(hide_usage=True).read(b"data: " + data + b"\n\n")


def test_tiers_and_groq_s_usage_are_heard() -> None:
    reader = ChunkReader(hide_usage=True)
    raw = event(
        {"service_tier": "flex", "choices": [], "x_groq": {"usage": {"prompt_tokens": 2, "completion_tokens": 1}}}
    )

    assert reader.read(raw) == raw
    assert reader.reported is not None
    assert (reader.tier, reader.reported.usage.input_tokens) == ("flex", 2)
