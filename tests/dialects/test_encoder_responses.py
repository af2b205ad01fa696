"""What clients of the Responses API get: whole from the first event, items in turn, nothing unsaid at the end."""

import json
from typing import Any

from kit.translations import IDENTITY, RESPONSES, encoded
from tollkeeper.core.conversation import Citation, Conversation, Seal, TokenLogprob, Tool
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    End,
    Failed,
    Failure,
    Finish,
    Ping,
    ReasoningStart,
    RefusalStart,
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


def events(*deltas: Delta, identity: Identity = IDENTITY) -> list[Any]:
    raw = encoded(RESPONSES, [START, *deltas], identity)
    return [json.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b"data: ")]


def kinds(found: list[Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


def test_a_text_goes_through_every_event() -> None:
    found = events(TextStart(0), TextDelta(0, "a"), TextDelta(0, "b"), BlockEnd(0), Finish("end"), End())

    assert kinds(found) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in found] == list(range(10))
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "ab"
    assert (found[-1]["response"]["id"], found[-1]["response"]["model"], found[-1]["response"]["created_at"]) == (
        "id-1", "model-2", 9
    )  # fmt: skip


def test_a_delta_is_byte_for_byte_as_openai_writes_it() -> None:
    raw = encoded(RESPONSES, [START, TextStart(0), TextDelta(0, "é")])

    assert raw.split(b"\n\n")[-2].decode() == (
        'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,'
        '"item_id":"msg_req1_0","output_index":0,"content_index":0,"delta":"é","logprobs":[]}'
    )


def test_texts_that_follow_each_other_are_parts_of_one_message() -> None:
    found = events(
        TextStart(0), TextDelta(0, "ab"), BlockEnd(0), RefusalStart(1), TextDelta(1, "no"), BlockEnd(1),
        TextStart(2), TextDelta(2, "c"), Cited(2, Citation("https://a", "t")), BlockEnd(2),
        ToolStart(3, "x", "f"), BlockEnd(3), Finish("tool"), End(),
    )  # fmt: skip
    output = found[-1]["response"]["output"]

    assert [item["type"] for item in output] == ["message", "function_call"]
    assert [part["type"] for part in output[0]["content"]] == ["output_text", "refusal", "output_text"]
    assert output[0]["content"][2]["annotations"][0]["start_index"] == 2
    assert (output[1]["arguments"], output[1]["call_id"], output[1]["name"]) == ("{}", "x", "f")


def test_interleaved_calls_come_one_after_the_other() -> None:
    found = events(
        ToolStart(0, "a", "f"), ToolStart(1, "b", "g", custom=True), TextDelta(1, "free"), TextDelta(0, "{}"),
        BlockEnd(1), BlockEnd(0),
    )  # fmt: skip

    assert kinds(found)[2:] == [
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done",
    ]  # fmt: skip


def test_thoughts_are_summaries_and_keep_their_seals() -> None:
    found = events(
        ReasoningStart(0), TextDelta(0, "hm"), Sealed(0, Seal("s", "claude")), BlockEnd(0),
        ReasoningStart(1, 0, True), Sealed(1, Seal("r", "claude")), BlockEnd(1),
        ToolStart(2, "x", "f", seal=Seal("t", "gemini")), BlockEnd(2), Finish("tool"), End(),
    )  # fmt: skip
    output = found[-1]["response"]["output"]

    assert [item.get("encrypted_content") for item in output] == ["tk1.claude.s", "tk1.claude.r", "tk1c.gemini.t", None]
    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert "reasoning_summary_text.delta" in kinds(found)


def test_empty_blocks_are_no_items() -> None:
    assert kinds(events(TextStart(0), BlockEnd(0), ReasoningStart(1), BlockEnd(1))) == ["created", "in_progress"]


def test_log_probabilities_stand_beside_their_words() -> None:
    found = events(TextStart(0), TextDelta(0, "a", (TokenLogprob("a", -0.1),)), BlockEnd(0), Finish("end"), End())

    assert found[4]["logprobs"][0]["token"] == "a"
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"][0]["logprob"] == -0.1


def test_the_end_says_how_and_at_what_cost() -> None:
    usage = UsageNoted(Reported(Usage(input_tokens=3, output_tokens=2), b"{}"))
    last = events(usage, Finish("length"), End())[-1]

    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["usage"]["total_tokens"] == 5


def test_an_error_is_said_in_both_ways_and_then_nothing() -> None:
    found = events(Ping(), Failed(Failure("m", 429, code="slow")), Finish("end"), End())

    assert kinds(found) == ["created", "in_progress", "error", "failed"]
    assert (found[2]["code"], found[3]["response"]["error"]) == ("slow", {"code": "slow", "message": "m"})


def test_the_request_is_repeated() -> None:
    asked = Conversation(dialect="openai_responses", model="m", turns=(), tools=(Tool("f"),))
    found = events(identity=Identity(id="r", created=1, model="m", asked=asked))

    assert found[0]["response"]["tools"][0]["name"] == "f"
