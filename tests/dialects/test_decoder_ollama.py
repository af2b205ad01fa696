"""Ollama's lines read as pieces: the oddities of its servers, old and new."""

import json
from typing import Any

import pytest

from kit.translations import OLLAMA, SITTING
from tollkeeper.core.answers import Answer, gathered
from tollkeeper.core.conversation import Reasoning, Text, TokenLogprob, ToolUse
from tollkeeper.core.deltas import PING, Delta, End, Failed, Failure
from tollkeeper.core.usage import Usage

HEAD = {"model": "qwen3", "created_at": "2025-10-17T23:14:07.414671312Z"}
LAST = {"done": True, "done_reason": "stop", "total_duration": 9, "prompt_eval_count": 11, "eval_count": 18}


def line(**members: Any) -> bytes:
    return json.dumps({**HEAD, "done": False, **members}).encode() + b"\n"


def said(**message: Any) -> bytes:
    return line(message={"role": "assistant", "content": "", **message})


def read(*lines: bytes) -> list[Delta]:
    decoder = OLLAMA.decoder(SITTING)
    found = [delta for one in lines for delta in decoder.feed(one)]
    assert decoder.finished
    return found + decoder.close()


def answer(*lines: bytes) -> Answer:
    return gathered(read(*lines))


def test_a_chat_is_read_with_its_thoughts_and_counts() -> None:
    found = answer(said(thinking="h"), said(thinking="m"), said(content="He"), said(content="llo"), line(**LAST))

    assert (found.model, found.created) == ("qwen3", 1_760_742_847)
    assert found.choices[0].blocks == (Reasoning("hm"), Text("Hello"))
    assert found.choices[0].stop == "end"
    assert found.reported is not None
    assert found.reported.usage == Usage(input_tokens=11, output_tokens=18)
    assert json.loads(found.reported.raw) == {"prompt_eval_count": 11, "eval_count": 18, "total_duration": 9}


def test_generate_is_read_as_well() -> None:
    found = answer(line(response="", thinking="hm"), line(response="Hi"), line(response="", context=[1, 2], **LAST))

    assert found.choices[0].blocks == (Reasoning("hm"), Text("Hi"))


def test_calls_without_ids_get_different_ones() -> None:
    calls = [{"function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "f", "arguments": {}}}]
    found = answer(said(tool_calls=calls), said(tool_calls=[{"id": "c", "function": {"name": "g"}}]), line(**LAST))

    first, second, third = found.choices[0].blocks
    assert isinstance(first, ToolUse)
    assert isinstance(second, ToolUse)
    assert json.loads(first.arguments) == {"x": 1}
    assert (second.arguments, third) == ("", ToolUse("c", "g", ""))
    assert len({first.id, second.id}) == 2
    assert found.choices[0].stop == "tool"


@pytest.mark.parametrize("arguments", ['{"x":1}', {"x": 1}])
def test_arguments_may_be_an_object_or_its_text(arguments: Any) -> None:
    found = answer(said(tool_calls=[{"function": {"name": "f", "arguments": arguments}}]), line(**LAST))

    assert json.loads(found.choices[0].blocks[0].arguments) == {"x": 1}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("reason", "stop"), [("stop", "end"), ("length", "length"), ("content_filter", "filter"), ("load", "end")]
)
def test_reasons_are_read(reason: str, stop: str) -> None:
    assert answer(line(**{**LAST, "done_reason": reason})).choices[0].stop == stop


def test_counts_without_the_input_s_are_no_report() -> None:
    assert answer(line(done=True, eval_count=3)).reported is None
    assert answer(line(done=True, prompt_eval_count=3)).reported is not None


def test_probabilities_are_read() -> None:
    likely = [{"token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "h", "logprob": -2.0}]}]
    found = answer(line(message={"content": "H"}, logprobs=likely), line(**LAST))

    expected = TokenLogprob("H", -0.5, (72,), (TokenLogprob("h", -2.0),))
    assert found.choices[0].blocks == (Text("H", (), (expected,)),)
    assert answer(line(message={"content": "H"}, logprobs=[7]), line(**LAST)).choices[0].blocks == (Text("H"),)


def test_an_error_ends_a_stream() -> None:
    decoder = OLLAMA.decoder(SITTING)
    decoder.feed(said(content="a"))

    assert decoder.feed(b'{"error":"out of memory"}\n') == [Failed(Failure("out of memory", 500))]
    assert decoder.done
    assert decoder.feed(said(content="b")) == []


def test_a_cut_is_no_end() -> None:
    decoder = OLLAMA.decoder(SITTING)
    decoder.feed(said(content="a"))

    assert not decoder.finished
    assert decoder.close() == []


def test_nothing_follows_the_end_and_blank_lines_say_nothing() -> None:
    decoder = OLLAMA.decoder(SITTING)

    assert decoder.feed(b"\r\n") == [PING]
    assert isinstance(decoder.feed(line(**LAST))[-1], End)
    assert decoder.feed(said(content="b")) == []


@pytest.mark.parametrize("data", [b"words\n", b"[]\n", b"7\n", b"[" * 10_000])
def test_what_is_no_line_of_ollama_s_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        OLLAMA.decoder(SITTING).feed(data)


def test_odd_members_are_passed_over() -> None:
    assert answer(said(content="a", tool_calls=7), line(eval_count="x", done=True)).choices[0].blocks == (Text("a"),)


def test_half_an_answer_is_none() -> None:
    with pytest.raises(ValueError, match="not done"):
        OLLAMA.read_answer(said(content="a"), SITTING)
