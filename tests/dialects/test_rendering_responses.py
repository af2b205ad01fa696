"""Conversations become requests of the Responses API: nothing stored, reasoning as items, images inside results."""

import json
from typing import Any

import pytest

from kit.translations import RESPONSES
from tollkeeper.core.conversation import (
    Audio,
    Conversation,
    CustomTool,
    File,
    Image,
    Inline,
    Link,
    Reasoning,
    Sampling,
    Seal,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Words,
)
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Rendered, Terms

GPT = Terms(model="gpt-5", origin="openai")


def rendered(*turns: Turn, dialect: str = "anthropic_messages", **members: Any) -> tuple[Any, Rendered]:
    asked = Conversation(dialect=dialect, model="m", turns=turns, **members)
    found = RESPONSES.render_request(asked, GPT)
    return json.loads(found.body), found


def test_a_round_of_tools_is_items() -> None:
    body, _ = rendered(
        Turn("system", (Text("be brief"),)),
        Turn("user", (Text("q"), Image(Link("https://a"), "low"))),
        Turn(
            "assistant",
            (
                Reasoning("hm", Seal("rs_1:enc", "openai")),
                Text("a"),
                ToolUse("x", "f", ""),
                ToolUse("y", "g", "free", custom=True),
            ),
        ),
        Turn(
            "tool", (ToolResult("x", (Text("1"),), failed=True), ToolResult("y", (Image(Inline("image/png", "iVBO")),)))
        ),
    )

    assert body["instructions"] == "be brief"
    assert [item["type"] for item in body["input"]] == [
        "message", "reasoning", "message", "function_call", "custom_tool_call",
        "function_call_output", "custom_tool_call_output",
    ]  # fmt: skip
    assert body["input"][0]["content"][1] == {"type": "input_image", "detail": "low", "image_url": "https://a"}
    assert body["input"][1] == {
        "id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "enc"
    }  # fmt: skip
    assert body["input"][3]["arguments"] == "{}"
    assert body["input"][5]["output"] == "Error: 1"
    assert body["input"][6]["output"][0]["image_url"] == "data:image/png;base64,iVBO"


def test_nothing_is_stored_and_reasoning_can_come_back() -> None:
    body, _ = rendered(Turn("user", (Text("q"),)))

    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]


def test_tools_say_that_they_are_not_strict() -> None:
    body, found = rendered(tools=(Tool("f" * 70), CustomTool("g")), tool_choice=ToolChoice("named", ("g",)))

    assert body["tools"][0]["strict"] is False
    assert found.renamed == {body["tools"][0]["name"]: "f" * 70}
    assert body["tool_choice"] == {"type": "custom", "name": "g"}


@pytest.mark.parametrize(
    ("thinking", "dialect", "expected"),
    [
        (Thinking(budget=2000), "anthropic_messages", {"effort": "low", "summary": "auto"}),
        (Thinking("high", show="omitted"), "anthropic_messages", {"effort": "high"}),
        (Thinking("none"), "anthropic_messages", None),
        (Thinking("low"), "openai_chat", {"effort": "low"}),
        (Thinking("low", None, "concise"), "openai_responses", {"effort": "low", "summary": "concise"}),
    ],
)
def test_thinking_is_asked_for(thinking: Thinking, dialect: str, expected: Any) -> None:
    body, _ = rendered(dialect=dialect, thinking=thinking)

    assert body.get("reasoning") == expected


def test_bounds_and_losses_are_named() -> None:
    body, found = rendered(
        Turn("user", (Text("q", cache=""),), "ann"),
        sampling=Sampling(max_tokens=1, top_k=3, seed=4, temperature=0.5, n=1),
    )

    assert (body["max_output_tokens"], body["temperature"]) == (16, 0.5)
    assert set(found.dropped) == {"max_tokens", "top_k", "seed", "cache", "turn.name"}


@pytest.mark.parametrize("origin", ["openai", "openai_responses", "anthropic", "azure"])
def test_a_seal_is_shown_to_its_origin_only(origin: str) -> None:
    body, _ = rendered(Turn("assistant", (Reasoning("hm", Seal("rs_1:secret", origin)), Text("a"))))

    assert ("secret" in json.dumps(body)) == origin.startswith("openai")


def test_files_travel_in_every_form_it_knows() -> None:
    body, _ = rendered(
        Turn(
            "user",
            (
                File(Inline("application/pdf", "JVBE"), "f.pdf"),
                File(Link("https://a/f.pdf")),
                File(Words("text"), "notes"),
                File(Stored("file-1", "openai_chat")),
            ),
        ),
    )

    assert [part["type"] for part in body["input"][0]["content"]] == [
        "input_file",
        "input_file",
        "input_text",
        "input_file",
    ]


@pytest.mark.parametrize("block", [Audio("UklG", "wav"), Image(Stored("f", "anthropic_messages")), Image(Words("x"))])
def test_content_it_cannot_take_is_refused(block: Any) -> None:
    with pytest.raises(CallerError):
        rendered(Turn("user", (block,)))


def test_several_answers_are_refused() -> None:
    with pytest.raises(CallerError):
        rendered(sampling=Sampling(n=2))
