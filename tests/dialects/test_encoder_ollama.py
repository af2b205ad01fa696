"""What Ollama's clients get: whole objects in lines, calls in one piece, the counts with the end."""

import json
from typing import Any

import pytest

from kit.translations import IDENTITY, OLLAMA, OLLAMA_GENERATE
from tollkeeper.core.deltas import (
    PING,
    BlockEnd,
    Delta,
    End,
    Failed,
    Failure,
    Finish,
    ReasoningStart,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.usage import Reported, Usage

STREAM = [
    Start("id-1", "model-2", 1_700_000_000),
    ReasoningStart(0),
    TextDelta(0, "hm"),
    BlockEnd(0),
    TextStart(1),
    TextDelta(1, "Hi"),
    ToolStart(2, "call_1", "f"),
    TextDelta(2, '{"x"'),
    BlockEnd(1),
    TextDelta(2, ":1}"),
    BlockEnd(2),
    Finish("tool"),
    UsageNoted(Reported(Usage(input_tokens=9, cached_input_tokens=2, output_tokens=4), b"{}")),
    End(),
]
HEAD = {"model": "model-2", "created_at": "2023-11-14T22:13:20Z"}
CALL = {"id": "call_1", "function": {"name": "f", "arguments": {"x": 1}}}
LAST = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 4}


def lines(translator: Any, deltas: list[Delta]) -> list[Any]:
    encoder = translator.encoder(IDENTITY)
    return [json.loads(line) for line in b"".join(encoder.feed([delta]) for delta in deltas).splitlines()]


def test_a_chat_s_lines() -> None:
    said = [{"content": "", "thinking": "hm"}, {"content": "Hi"}, {"content": "", "tool_calls": [CALL]}]
    expected = [{**HEAD, "message": {"role": "assistant", **one}, "done": False} for one in said]

    last = {**HEAD, "message": {"role": "assistant", "content": ""}, **LAST}
    assert lines(OLLAMA, STREAM) == [*expected, last]


def test_generate_s_lines() -> None:
    said = [{"response": "", "thinking": "hm"}, {"response": "Hi"}, {"response": "", "tool_calls": [CALL]}]

    expected = [{**HEAD, **one, "done": False} for one in said]
    assert lines(OLLAMA_GENERATE, STREAM) == [*expected, {**HEAD, "response": "", **LAST}]


@pytest.mark.parametrize("translator", [OLLAMA, OLLAMA_GENERATE], ids=["chat", "generate"])
def test_what_keeps_a_connection_alive_is_an_object_without_words(translator: Any) -> None:
    assert lines(translator, [PING]) == []
    (quiet,) = lines(translator, [STREAM[0], PING])
    assert quiet["done"] is False
    assert (quiet.get("response") or quiet.get("message", {}).get("content")) in ("", None)


def test_arguments_that_are_no_object_travel_as_one() -> None:
    stream = [STREAM[0], ToolStart(0, "c", "f"), TextDelta(0, '{"x'), BlockEnd(0)]

    assert lines(OLLAMA, stream)[0]["message"]["tool_calls"][0]["function"]["arguments"] == {"input": '{"x'}


def test_an_error_is_the_last_line() -> None:
    stream = [*STREAM[:3], Failed(Failure("too busy", 429, None, "busy")), *STREAM[3:]]

    assert lines(OLLAMA, stream)[-1] == {"error": "too busy", "code": "busy"}


@pytest.mark.parametrize(("reason", "said"), [("end", "stop"), ("length", "length"), ("refusal", "content_filter")])
def test_reasons_are_said(reason: Any, said: str) -> None:
    assert lines(OLLAMA, [STREAM[0], Finish(reason), End()])[-1]["done_reason"] == said
