"""The three laws of translation, on every recording: read whole, cut anywhere, and there and back through every other."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kit.recordings import recorded
from kit.translations import IDENTITY, SAYS, SITTING, comparable, decoded, encoded, split
from tollkeeper.core.answers import gathered
from tollkeeper.core.deltas import (
    BlockEnd,
    Delta,
    End,
    Failed,
    Finish,
    Ping,
    ReasoningStart,
    RefusalStart,
    Start,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Translator

FOLDERS = {
    "openai/chat": "openai_chat",
    "groq/chat": "openai_chat",
    "openrouter/chat": "openai_chat",
    "openai/responses": "openai_responses",
    "anthropic/messages": "anthropic_messages",
    "gemini/generate": "gemini_generate",
}
STARTS = (TextStart, ReasoningStart, RefusalStart, ToolStart)


def _recording(path: Path) -> tuple[str, bytes]:
    return FOLDERS[f"{path.parent.parent.name}/{path.parent.name}"], path.read_bytes()


@pytest.fixture(params=recorded(*FOLDERS))
def recording(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    return _recording(request.param)


def test_a_recording_reads_as_an_ordered_stream(recording: tuple[str, bytes]) -> None:
    dialect, raw = recording
    deltas = decoded(SAYS[dialect].translator, raw)

    said = [delta for delta in deltas if not isinstance(delta, (Ping, UsageNoted))]
    assert isinstance(said[0], Start)
    assert isinstance(said[-1], (End, Failed))
    opened = [delta.block for delta in said if isinstance(delta, STARTS)]
    assert opened == list(range(len(opened)))
    if isinstance(said[-1], End):
        assert sorted(delta.block for delta in said if isinstance(delta, BlockEnd)) == opened
        assert [type(delta) for delta in said].count(Finish) == len({getattr(d, "choice", 0) for d in said})


def test_a_recording_says_what_its_bytes_say(recording: tuple[str, bytes]) -> None:
    """All words of the raw stream, found without our decoders, are in the answer."""
    dialect, raw = recording
    answer = gathered(decoded(SAYS[dialect].translator, raw))
    found = dict.fromkeys(("text", "reasoning", "tool"), "")
    for data in re.findall(rb"^data: (\{.*\})\s*$", raw, re.MULTILINE):
        for kind, words in RAW_WORDS[dialect](msgspec.json.decode(data)):
            found[kind] += words

    said = dict.fromkeys(found, "")
    for block in answer.choices[0].blocks:
        kind = {"Text": "text", "Reasoning": "reasoning", "ToolUse": "tool"}.get(type(block).__name__)
        if kind is not None:
            said[kind] += getattr(block, "arguments", "") or getattr(block, "text", "")
    assert said == found


def _chat_words(chunk: Any) -> list[tuple[str, str]]:
    found = []
    for choice in chunk.get("choices", []):
        delta = choice.get("delta") or {}
        found.append(("text", delta.get("content") or ""))
        found.append(("reasoning", delta.get("reasoning") or delta.get("reasoning_content") or ""))
        found += [("tool", call["function"].get("arguments") or "") for call in delta.get("tool_calls") or ()]
    return found


def _messages_words(event: Any) -> list[tuple[str, str]]:
    delta = event.get("delta") or {}
    return [("text", delta.get("text") or ""), ("reasoning", delta.get("thinking") or "")]


def _responses_words(event: Any) -> list[tuple[str, str]]:
    kinds = {"output_text": "text", "reasoning_summary_text": "reasoning", "function_call_arguments": "tool"}
    kind = kinds.get(event["type"].removeprefix("response.").removesuffix(".delta"))
    return [(kind, event["delta"])] if kind is not None and "delta" in event else []


def _gemini_words(chunk: Any) -> list[tuple[str, str]]:
    found = []
    for candidate in chunk.get("candidates", []):
        for part in candidate.get("content", {}).get("parts", []):
            found.append(("reasoning" if part.get("thought") else "text", part.get("text") or ""))
    return found


RAW_WORDS = {
    "gemini_generate": _gemini_words,
    "openai_chat": _chat_words,
    "openai_responses": _responses_words,
    "anthropic_messages": _messages_words,
}


@pytest.mark.parametrize("size", [1, 7])
def test_cut_anywhere_it_reads_the_same(recording: tuple[str, bytes], size: int) -> None:
    dialect, raw = recording
    translator = SAYS[dialect].translator

    assert decoded(translator, raw, size) == decoded(translator, raw)


@pytest.mark.parametrize("other", SAYS)
def test_there_and_back_it_says_the_same(recording: tuple[str, bytes], other: str) -> None:
    dialect, raw = recording
    here, there = SAYS[dialect].translator, SAYS[other].translator
    first = decoded(here, raw)
    across = decoded(there, encoded(there, first))
    back = decoded(here, encoded(here, across))

    assert comparable(gathered(across), other) == comparable(gathered(first), other)
    assert comparable(gathered(back), dialect, other) == comparable(gathered(first), dialect, other)


@pytest.mark.parametrize("other", SAYS)
def test_whole_answers_say_what_streams_say(recording: tuple[str, bytes], other: str) -> None:
    dialect, raw = recording
    there = SAYS[other].translator
    answer = gathered(decoded(SAYS[dialect].translator, raw))
    if answer.failure is not None:
        return
    again = gathered(there.read_answer(there.render_answer(answer, IDENTITY), SITTING))

    assert comparable(again, other) == comparable(answer, other)


@pytest.mark.parametrize("other", SAYS)
def test_what_a_client_gets_keeps_its_dialect_s_order(recording: tuple[str, bytes], other: str) -> None:
    dialect, raw = recording
    sent = encoded(SAYS[other].translator, decoded(SAYS[dialect].translator, raw))

    ORDER[other](split(SAYS[other].translator, sent))


def _events(blocks: list[bytes]) -> list[Any]:
    found = []
    for block in blocks:
        lines = [line for line in block.split(b"\n") if not line.startswith(b":")]
        data = next(line[6:] for line in lines if line.startswith(b"data: "))
        found.append("[DONE]" if data == b"[DONE]" else msgspec.json.decode(data))
    return found


def _chat_order(blocks: list[bytes]) -> None:
    chunks = _events(blocks)
    body, last = chunks[:-1], chunks[-1]
    assert last == "[DONE]" or "error" in last
    assert [index for index, chunk in enumerate(body) if chunk["usage"]] in ([], [len(body) - 1])
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in body}) == 1
    assert body[0]["choices"][0]["delta"]["role"] == "assistant"
    named = [
        (choice["index"], call["index"])
        for chunk in body
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", ())
        if "id" in call
    ]
    assert len(named) == len(set(named))
    assert [index for _, index in named] == list(range(len(named)))


def _messages_order(blocks: list[bytes]) -> None:
    events = _events(blocks)
    for block, event in zip(blocks, events, strict=True):
        assert b"event: %b\n" % event["type"].encode() in block + b"\n"
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds[-1] in ("message_stop", "error")
    assert kinds.count("message_start") == 1
    if kinds[-1] == "message_stop":
        assert kinds[-2:] == ["message_delta", "message_stop"]
    inside = [event for event in events if "index" in event]
    begun = [event["index"] for event in inside if event["type"] == "content_block_start"]
    assert begun == list(range(len(begun)))
    for before, after in pairwise(inside):
        if after["index"] != before["index"]:
            assert (before["type"], after["type"]) == ("content_block_stop", "content_block_start")
    for event in inside:
        if event["type"] == "content_block_delta":
            assert "" not in event["delta"].values()


def _responses_order(blocks: list[bytes]) -> None:
    events = _events(blocks)
    for block, event in zip(blocks, events, strict=True):
        assert b"event: %b\n" % event["type"].encode() in block + b"\n"
    kinds = [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in ("response.completed", "response.incomplete", "response.failed")
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    added: list[str] = []
    output = []
    for event in events:
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(added) == len(output)
            added.append(event["item"]["id"])
        elif event["type"] == "response.output_item.done":
            output.append(event["item"])
        elif "item_id" in event:
            assert (event["item_id"], event["output_index"]) == (added[-1], len(added) - 1)
    assert len(set(added)) == len(added)
    assert [item["id"] for item in output] == added[: len(output)]
    assert len(output) == len(added) or kinds[-1] == "response.failed"
    assert events[-1]["response"]["output"] == output


def _gemini_order(blocks: list[bytes]) -> None:
    chunks = []
    for block in blocks:
        assert block.startswith(b"data: {")
        assert block.endswith(b"}\r\n\r\n")
        assert block.count(b"\n") == 2
        assert not any(mark in block.decode() for mark in "\u2028\u2029\u0085")
        chunks.append(msgspec.json.decode(block[6:-4]))
    body = [chunk for chunk in chunks if "error" not in chunk]
    assert len({(chunk["responseId"], chunk["modelVersion"]) for chunk in body}) == 1
    finished = ["finishReason" in chunk["candidates"][0] for chunk in body if chunk["candidates"]]
    assert sum(finished) == ("error" not in chunks[-1])
    assert finished[-1] == ("error" not in chunks[-1])


def _ollama_order(words: str) -> Any:
    def order(blocks: list[bytes]) -> None:
        assert all(block.count(b"\n") == 1 for block in blocks)
        lines = [msgspec.json.decode(block) for block in blocks]
        body, last = lines[:-1], lines[-1]
        assert last.get("done") or "error" in last
        assert len({(line["model"], line["created_at"]) for line in body}) <= 1
        assert all(line["done"] is False and words in line for line in body)
        assert "error" in last or (words in last and last["done_reason"] in ("stop", "length", "content_filter"))

    return order


ORDER = {
    "ollama_chat": _ollama_order("message"),
    "ollama_generate": _ollama_order("response"),
    "gemini_generate": _gemini_order,
    "openai_chat": _chat_order,
    "openai_responses": _responses_order,
    "anthropic_messages": _messages_order,
}


@pytest.mark.parametrize("says", SAYS.values(), ids=lambda says: says.translator.name)
def test_nothing_follows_the_end(says: Any) -> None:
    translator: Translator = says.translator
    encoder = translator.encoder(IDENTITY)
    stream: list[Delta] = [Start("a", "m"), Finish("end"), End()]

    assert encoder.feed(stream)
    assert encoder.feed([Ping(), *stream]) == b""
