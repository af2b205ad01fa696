"""Requests of the Responses API become conversations: items grouped into turns, its provider's state never forgotten."""

import json
from typing import Any

import pytest

from kit.translations import ANTHROPIC, CHAT, RESPONSES
from tollkeeper.core.conversation import (
    Conversation,
    CustomTool,
    File,
    Foreign,
    Image,
    Inline,
    Link,
    OutputFormat,
    Reasoning,
    Seal,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Terms


def read(given: Any, **members: Any) -> Conversation:
    return RESPONSES.read_request(json.dumps({"model": "m", "input": given, **members}).encode(), "responses")


def test_a_string_is_a_user_s_turn_after_the_instructions() -> None:
    assert read("hi", instructions="be brief").turns == (
        Turn("system", (Text("be brief"),)),
        Turn("user", (Text("hi"),)),
    )


def test_items_of_one_side_are_one_turn() -> None:
    found = read(
        [
            {"role": "user", "content": [{"type": "input_text", "text": "q"}]},
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "e",
             "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
             "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "x", "name": "f", "arguments": "{}", "status": "completed"},
            {"type": "custom_tool_call", "call_id": "y", "name": "g", "input": "free"},
            {"type": "function_call_output", "call_id": "x", "output": "1"},
            {"type": "custom_tool_call_output", "call_id": "y", "output": [{"type": "input_image", "image_url": "https://a"}]},
            {"role": "developer", "content": "go on"},
        ]
    )  # fmt: skip

    assert found.turns == (
        Turn("user", (Text("q"),)),
        Turn(
            "assistant",
            (
                Reasoning("hm", Seal("rs_1:e", "openai_responses")),
                Text("a"),
                ToolUse("x", "f", ""),
                ToolUse("y", "g", "free", custom=True),
            ),
        ),
        Turn("tool", (ToolResult("x", (Text("1"),)), ToolResult("y", (Image(Link("https://a")),)))),
        Turn("developer", (Text("go on"),)),
    )
    assert found.unread == ()


def test_every_kind_of_content_is_read() -> None:
    found = read(
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"},
                    {"type": "input_image", "file_id": "file-1", "detail": "high"},
                    {"type": "input_file", "filename": "f.pdf", "file_data": "data:application/pdf;base64,JVBE"},
                    {"type": "input_file", "file_url": "https://a/f.pdf"},
                    {"type": "input_hologram", "depth": 3},
                ],
            }
        ]
    )

    assert found.turns[0].blocks == (
        Image(Inline("image/png", "iVBO")),
        Image(Stored("file-1", "openai_responses"), "high"),
        File(Inline("application/pdf", "JVBE"), "f.pdf"),
        File(Link("https://a/f.pdf")),
        Foreign("openai_responses", b'{"type":"input_hologram","depth":3}'),
    )


def test_settings_are_read() -> None:
    found = read(
        "hi",
        tools=[
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True},
            {"type": "custom", "name": "g"},
        ],
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        parallel_tool_calls=True,
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto"},
        max_output_tokens=9,
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        store=False,
    )  # fmt: skip

    assert found.tools == (Tool("f", None, {"type": "object"}, True), CustomTool("g"))
    assert found.tool_choice == ToolChoice("auto", ("f",))
    assert found.output == OutputFormat("schema", {"type": "object"}, "n")
    assert (found.thinking, found.verbosity) == (Thinking("high", None, "auto"), "low")
    assert dict(found.sampling.said()) == {"max_tokens": 9, "logprobs": True}
    assert (found.own, found.essential) == ({}, ())


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.item_reference"),
    ],
)
def test_what_only_its_provider_can_do_is_refused_by_others(members: dict[str, Any], param: str) -> None:
    asked = read(
        **{"given": "hi", **{("given" if name == "input" else name): value for name, value in members.items()}}
    )
    for translator in (CHAT, ANTHROPIC):
        with pytest.raises(CallerError) as refused:
            translator.render_request(asked, Terms(model="m", origin="o"))
        assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")
    assert RESPONSES.render_request(asked, Terms(model="m", origin="o")).dropped == ()


def test_what_changes_no_answer_is_named_even_by_strict_terms() -> None:
    asked = read("hi", store=True, prompt_cache_key="k", background=False, truncation="disabled")

    dropped = CHAT.render_request(asked, Terms(model="m", origin="o", strict=True)).dropped
    assert dropped == ("store", "prompt_cache_key")


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (5, "input"),
        ([{"role": "wizard"}], "input[0].role"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0]"),
        ([{"type": "function_call", "name": "f"}], "input[0].call_id"),
    ],
)
def test_bad_input_is_refused_with_its_place(given: Any, param: str) -> None:
    with pytest.raises(CallerError) as refused:
        read(given)

    assert (refused.value.status, refused.value.param) == (400, param)
