"""Requests become conversations that keep everything, and name what they have no place for."""

import json
from typing import Any

import pytest

from kit.translations import ANTHROPIC, CHAT
from tollkeeper.core.conversation import (
    Audio,
    Conversation,
    CustomTool,
    File,
    Foreign,
    Image,
    Inline,
    Link,
    OutputFormat,
    Reasoning,
    Refusal,
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

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def chat(*messages: Any, **members: Any) -> Conversation:
    return CHAT.read_request(json.dumps({"model": "m", "messages": messages, **members}).encode(), "chat/completions")


def claude(*messages: Any, **members: Any) -> Conversation:
    return ANTHROPIC.read_request(json.dumps({"model": "m", "messages": messages, **members}).encode(), "messages")


# --- Chat Completions -----------------------------------------------------------------------------------------------


def test_instructions_stay_where_they_stood() -> None:
    found = chat(
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b", "name": "ann"},
        {"role": "developer", "content": [{"type": "text", "text": "c"}]},
    )

    assert found.turns == (
        Turn("system", (Text("a"),)),
        Turn("user", (Text("b"),), "ann"),
        Turn("developer", (Text("c"),)),
    )


def test_every_kind_of_content_is_read() -> None:
    found = chat(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "image_url", "image_url": {"url": PIXEL.replace("png", "jpg"), "detail": "low"}},
                {"type": "image_url", "image_url": "https://a/b.png"},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"filename": "f.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "hologram", "depth": 3},
            ],
        }
    )

    assert found.turns[0].blocks == (
        Text("a", cache="1h"),
        Image(Inline("image/jpeg", "iVBORw0KGgo="), "low"),
        Image(Link("https://a/b.png")),
        Audio("UklGRg==", "wav"),
        File(Inline("application/pdf", "JVBE"), "f.pdf"),
        File(Stored("file-1", "openai_chat")),
        Foreign("openai_chat", b'{"type":"hologram","depth":3}'),
    )


def test_a_round_of_tools_is_read() -> None:
    found = chat(
        {
            "role": "assistant",
            "content": None,
            "refusal": "no",
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "custom", "custom": {"name": "g", "input": "free"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
        {"role": "user", "content": "go on"},
    )

    assert found.turns == (
        Turn(
            "assistant",
            (Reasoning("hm"), Refusal("no"), ToolUse("a", "f", '{"x":1}'), ToolUse("b", "g", "free", custom=True)),
        ),
        Turn("tool", (ToolResult("a", (Text("1"),)), ToolResult("b", (Text("2"),)))),
        Turn("user", (Text("go on"),)),
    )


def test_seals_come_back_with_their_origin() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "tk1.anthropic.sig", "format": "tollkeeper", "index": 0},
        {"type": "reasoning.encrypted", "data": "tk1.openai.enc", "index": 1},
    ]
    found = chat({"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": details})

    assert found.turns[0].blocks == (
        Reasoning("hm", Seal("sig", "anthropic")),
        Reasoning("", Seal("enc", "openai"), redacted=True),
        Text("a"),
    )


def test_tools_and_choices_are_read() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    found = chat(
        tools=[
            {"type": "function", "function": function},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
            {"type": "web_search"},
        ],
        parallel_tool_calls=False,
    )

    assert found.tools == (
        Tool("f", "d", {"type": "object"}, True),
        CustomTool("g", None, {"type": "text"}),
        Foreign("openai_chat", b'{"type":"web_search"}'),
    )
    assert found.parallel_tools is False


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", ("f",))),
        ({"type": "custom", "custom": {"name": "g"}}, ToolChoice("named", ("g",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            ToolChoice("required", ("f",)),
        ),
    ],
)
def test_a_tool_choice_is_read(choice: Any, expected: ToolChoice) -> None:
    assert chat(tool_choice=choice).tool_choice == expected


def test_what_is_asked_of_the_answer_is_read() -> None:
    found = chat(
        max_tokens=1, max_completion_tokens=2, temperature=1, stop="x", n=2, logit_bias={"5": -1}, reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        stream=True, stream_options={"include_usage": True}, user="u", service_tier="flex", verbosity="low",
    )  # fmt: skip

    assert dict(found.sampling.said()) == {
        "max_tokens": 2, "temperature": 1.0, "stop": ("x",), "n": 2, "logit_bias": {"5": -1}
    }  # fmt: skip
    assert found.output == OutputFormat("schema", {"type": "object"}, "n", None, True)
    assert found.thinking == Thinking("low")
    assert (found.stream, found.stream_usage, found.end_user, found.tier) == (True, True, "u", "flex")


def test_what_has_no_place_is_named() -> None:
    found = chat(
        {"role": "user", "content": [{"type": "text", "text": "a", "shape": 1}], "mood": 1}, prediction={"x": 1}
    )

    assert found.unread == ("messages.content.shape", "messages.mood")
    assert found.own == {"prediction": {"x": 1}}


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"content": "a"}], "messages[0].role"),
        ([{"role": "wizard"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [{"text": "a"}]}], "messages[0].content[0].type"),
        ([{"role": "tool", "content": "a"}], "messages[0].tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"id": "a"}]}], "messages[0].tool_calls[0].name"),
    ],
)
def test_a_bad_message_is_refused_with_its_place(messages: Any, param: str) -> None:
    with pytest.raises(CallerError) as refused:
        chat(*messages)

    assert (refused.value.status, refused.value.param) == (400, param)


# --- Anthropic Messages ---------------------------------------------------------------------------------------------


def test_system_and_every_kind_of_block_are_read() -> None:
    found = claude(
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                {"type": "image", "source": {"type": "url", "url": "https://a"}},
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "doc"},
                    "title": "t",
                    "context": "c",
                    "citations": {"enabled": True},
                },
                {"type": "document", "source": {"type": "file", "file_id": "f1"}},
                {"type": "search_result", "source": "https://a"},
            ],
        },
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    )

    assert found.turns[0] == Turn("system", (Text("s", cache=""),))
    assert found.turns[1].blocks == (
        Image(Inline("image/png", "iVBO")),
        Image(Link("https://a")),
        File(Words("doc"), "t", "c", True),
        File(Stored("f1", "anthropic_messages")),
        Foreign("anthropic_messages", b'{"type":"search_result","source":"https://a"}'),
    )


def test_tool_results_have_a_turn_of_their_own() -> None:
    found = claude(
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": True,
                    "content": [{"type": "image", "source": {"type": "url", "url": "https://a"}}],
                },
                {"type": "text", "text": "and now?"},
            ],
        },
    )

    assert found.turns == (
        Turn("assistant", (ToolUse("toolu_1", "f", '{"x":1}'),)),
        Turn("tool", (ToolResult("toolu_1", (Image(Link("https://a")),), failed=True),)),
        Turn("user", (Text("and now?"),)),
    )


def test_thoughts_keep_their_seals_and_calls_theirs() -> None:
    found = claude(
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "tk1.openai.enc"},
                {"type": "thinking", "thinking": "", "signature": "tk1c.gemini.s"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            ],
        }
    )

    assert found.turns[0].blocks == (
        Reasoning("hm", Seal("sig", "anthropic_messages")),
        Reasoning("", Seal("enc", "openai"), redacted=True),
        ToolUse("t", "f", "", seal=Seal("s", "gemini")),
    )


@pytest.mark.parametrize(
    ("members", "thinking"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Thinking(None, 2000)),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, Thinking("max")),
        ({"thinking": {"type": "disabled"}}, Thinking("none")),
        ({}, None),
    ],
)
def test_thinking_is_read(members: dict[str, Any], thinking: Thinking | None) -> None:
    assert claude(**members).thinking == thinking


def test_choices_formats_and_hosted_tools_are_read() -> None:
    found = claude(
        tools=[
            {"name": "f", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        metadata={"user_id": "u"},
        context_management={"edits": []},
        stop_sequences=["x"],
    )

    assert found.tools[0] == Tool("f", None, {"type": "object"})
    assert isinstance(found.tools[1], Foreign)
    assert (found.tool_choice, found.parallel_tools) == (ToolChoice("required"), False)
    assert found.output == OutputFormat("schema", {"type": "object"}, strict=True)
    assert (found.end_user, found.own, found.unread) == ("u", {"context_management": {"edits": []}}, ())


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        ({"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
        ({"system": 5}, "system.content"),
    ],
)
def test_a_bad_field_is_refused_with_its_place(members: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerError) as refused:
        ANTHROPIC.read_request(json.dumps(members).encode(), "messages")

    assert refused.value.param == param
