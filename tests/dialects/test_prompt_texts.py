"""All words of a conversation are found, and nothing that is not words."""

from tollkeeper.core.conversation import (
    Conversation,
    File,
    Image,
    Inline,
    OutputFormat,
    Reasoning,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Words,
)
from tollkeeper.dialects import prompt_texts


def test_words_of_turns_tools_and_schemas() -> None:
    asked = Conversation(
        dialect="d",
        model="m",
        turns=(
            Turn("user", (Text("hi"), Image(Inline("image/png", "QUJD")), File(Words("doc"))), "ann"),
            Turn("assistant", (Reasoning("hm"), ToolUse("x", "f", '{"a":1}'))),
            Turn("tool", (ToolResult("x", (Text("1"),)),)),
        ),
        tools=(Tool("f", "does it"),),
        output=OutputFormat("schema", {"type": "object"}),
    )
    found = prompt_texts.of(asked)

    assert found[:3] == ["user\nann\nhi\ndoc", 'assistant\nhm\nf\n{"a":1}', "tool\n1"]
    assert "does it" in found[3]
    assert found[4] == '{"type":"object"}'
    assert "QUJD" not in "".join(found)


def test_what_the_user_said_last_is_words_of_the_user() -> None:
    turns = (
        Turn("user", (Text("first"),)),
        Turn("user", (Text("look"), Image(Inline("image/png", "QUJD")), Text("here"))),
        Turn("user", (Image(Inline("image/png", "QUJD")), Text(""))),
        Turn("assistant", (Text("yes?"), ToolUse("x", "f", "{}"))),
        Turn("tool", (ToolResult("x", (Text("1"),)),)),
    )

    assert prompt_texts.last_asked(Conversation(dialect="d", model="m", turns=turns)) == "look here"
    assert prompt_texts.last_asked(Conversation(dialect="d", model="m", turns=turns[3:])) is None
