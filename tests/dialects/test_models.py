"""What Claude models differ in is found by name, wherever they are hosted."""

import pytest

from tollkeeper.dialects.anthropic_messages.models import facts


@pytest.mark.parametrize(
    ("model", "limit", "thinking", "sampling"),
    [
        ("claude-opus-5-5", 64_000, "adaptive", False),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 64_000, "budget", True),
        ("claude-3.5-sonnet", 8192, "budget", True),
        ("claude-opus-4-20250514", 32_000, "budget", True),
        ("claude-opus-4-6", 64_000, "adaptive", True),
        ("deepseek-chat", 8192, "budget", True),
    ],
)
def test_a_model_s_facts(model: str, limit: int, thinking: str, sampling: bool) -> None:
    found = facts(model)

    assert (found.output_limit, found.thinking, found.sampling) == (limit, thinking, sampling)
