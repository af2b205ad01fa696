"""Whole answers are read as the stream they could have been, and written in each dialect's form."""

import json
from typing import Any

import pytest

from kit.translations import ANTHROPIC, CHAT, IDENTITY, SITTING
from tollkeeper.core.answers import Answer, Choice, gathered
from tollkeeper.core.conversation import Citation, Reasoning, Seal, Text, ToolUse
from tollkeeper.core.usage import Reported, Usage

CHAT_BODY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 7,
    "model": "gpt",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "a",
                "refusal": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "y", "type": "function", "function": {"name": "g", "arguments": '{"a":1}'}},
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
ANSWER = Answer(
    id="id-1",
    model="m",
    created=7,
    choices=(
        Choice(
            (
                Reasoning("hm", Seal("s", "someone")),
                Text("see", (Citation("https://a", "t", "w"),)),
                Text(""),
                ToolUse("a.b", "f", ""),
            ),
            "tool",
        ),
    ),
    reported=Reported(Usage(input_tokens=10, cached_input_tokens=4, cache_write_tokens=1, output_tokens=3), b"{}"),
)


def test_a_chat_answer_is_read() -> None:
    found = gathered(CHAT.read_answer(json.dumps(CHAT_BODY).encode(), SITTING))

    assert (found.id, found.model, found.created) == ("chatcmpl-1", "gpt", 7)
    assert found.choices == (
        Choice((Reasoning("hm"), Text("a"), ToolUse("x", "f", "{}"), ToolUse("y", "g", '{"a":1}')), "tool"),
    )
    assert found.reported is not None
    assert found.reported.usage.input_tokens == 5


def test_a_message_is_read() -> None:
    body: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 2, "service_tier": "standard"},
    }
    found = gathered(ANTHROPIC.read_answer(json.dumps(body).encode(), SITTING))

    assert found.choices == (
        Choice((Reasoning("hm", Seal("sig", "someone")), Text("a"), ToolUse("toolu_1", "f", '{"x":1}')), "tool"),
    )
    assert found.reported is not None
    assert (found.reported.usage.input_tokens, found.reported.usage.cached_input_tokens, found.tier) == (
        8,
        3,
        "standard",
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"content":null}'])
@pytest.mark.parametrize("translator", [CHAT, ANTHROPIC], ids=["chat", "anthropic"])
def test_what_is_no_answer_is_refused(translator: Any, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        translator.read_answer(body, SITTING)


def test_a_chat_answer_is_written() -> None:
    body = json.loads(CHAT.render_answer(ANSWER, IDENTITY))
    message = body["choices"][0]["message"]

    assert (body["id"], body["object"], body["created"], body["model"]) == ("id-1", "chat.completion", 7, "m")
    assert (message["content"], message["reasoning_content"]) == ("see", "hm")
    assert message["reasoning_details"][0]["signature"] == "tk1.someone.s"
    assert message["annotations"][0]["url_citation"] == {
        "url": "https://a", "title": "t", "start_index": 0, "end_index": 3, "content": "w"
    }  # fmt: skip
    assert message["tool_calls"] == [{"id": "a.b", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 1, "audio_tokens": 0}


def test_a_message_is_written() -> None:
    body = json.loads(ANTHROPIC.render_answer(ANSWER, IDENTITY))

    assert [block["type"] for block in body["content"]] == ["thinking", "text", "tool_use"]
    assert body["content"][0]["signature"] == "tk1.someone.s"
    assert body["content"][1]["citations"][0]["url"] == "https://a"
    assert body["content"][2]["input"] == {}
    assert body["stop_reason"] == "tool_use"
    assert body["usage"] == {
        "input_tokens": 5, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 4, "output_tokens": 3
    }  # fmt: skip


@pytest.mark.parametrize("translator", [CHAT, ANTHROPIC], ids=["chat", "anthropic"])
def test_what_the_provider_left_out_is_filled_in(translator: Any) -> None:
    body = json.loads(translator.render_answer(Answer(choices=(Choice((Text("a"),)),)), IDENTITY))

    assert body["id"].endswith("req1")
    assert body["model"] == "model-1"
