"""Sealed thoughts in the history let an older Claude think on; without them it is not asked to."""

import json

import pytest

from kit.translations import ANTHROPIC
from tollkeeper.core.conversation import Conversation, Reasoning, Seal, Text, Thinking, ToolResult, ToolUse, Turn
from tollkeeper.core.translation import Terms


@pytest.mark.parametrize(
    ("thought", "thinks"),
    [
        ((Reasoning("hm", Seal("s", "anthropic")),), True),
        ((Reasoning("hm"),), False),
        ((), False),
    ],
)
def test_calls_need_their_thoughts(thought: tuple[Reasoning, ...], thinks: bool) -> None:
    turns = (
        Turn("user", (Text("q"),)),
        Turn("assistant", (*thought, ToolUse("a", "f", ""))),
        Turn("tool", (ToolResult("a", (Text("1"),)),)),
    )
    asked = Conversation(dialect="openai_chat", model="m", turns=turns, thinking=Thinking("medium"))
    rendered = ANTHROPIC.render_request(asked, Terms(model="claude-sonnet-4-5", origin="anthropic"))

    assert ("thinking" in json.loads(rendered.body)) is thinks
    assert ("thinking" in rendered.dropped) is not thinks
