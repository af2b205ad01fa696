"""How much OpenAI's models are to think, in their words, whoever asks."""

from typing import Any

import pytest

from tollkeeper.core.conversation import Conversation, Thinking
from tollkeeper.dialects.efforts import openai_effort, openai_tier


def asked(dialect: str = "anthropic_messages", **members: Any) -> Conversation:
    return Conversation(dialect=dialect, model="m", turns=(), **members)


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        (None, None),
        (Thinking("low"), "low"),
        (Thinking("max"), "xhigh"),
        (Thinking("none"), None),
        (Thinking(show="auto"), None),
        (Thinking(budget=1024), "minimal"),
        (Thinking(budget=4000), "low"),
        (Thinking(budget=10_000), "medium"),
        (Thinking(budget=60_000), "high"),
    ],
)
def test_an_effort_is_found(thinking: Thinking | None, effort: str | None) -> None:
    assert openai_effort(asked(thinking=thinking)) == effort


def test_openai_s_own_clients_may_ask_for_none() -> None:
    assert openai_effort(asked("openai_chat", thinking=Thinking("none"))) == "none"


@pytest.mark.parametrize(
    ("dialect", "tier", "expected"),
    [
        ("openai_chat", "flex", "flex"),
        ("anthropic_messages", "standard_only", "default"),
        ("anthropic_messages", "auto", "auto"),
        ("anthropic_messages", "odd", None),
    ],
)
def test_a_tier_is_found(dialect: str, tier: str, expected: str | None) -> None:
    assert openai_tier(asked(dialect, tier=tier)) == expected
