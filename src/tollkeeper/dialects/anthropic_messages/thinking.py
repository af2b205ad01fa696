"""How much a Claude model is to think: an effort for the newer ones, a budget of tokens for those before."""

from typing import Any

from tollkeeper.core.conversation import Conversation, Reasoning, ToolUse
from tollkeeper.dialects.anthropic_messages.models import Facts
from tollkeeper.dialects.losses import Losses

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24_000, "xhigh": 32_000, "max": 48_000}
_EFFORTS = {"minimal": "low"}
_LEAST = 1024
_FORCED = ("any", "tool")


def asked(conversation: Conversation, body: dict[str, Any], known: Facts, losses: Losses) -> bool:
    """Adds what asks for thinking to `body`; whether the model will think.

    A tool cannot be forced while it thinks, and a call in the history must have its thoughts with it where they have a
    budget: then there is no thinking.
    """
    thinking = conversation.thinking
    if thinking is None:
        return False
    if thinking.effort == "none":
        if known.thinking == "adaptive":
            body["thinking"] = {"type": "disabled"}
        return False
    if body.get("tool_choice", {}).get("type") in _FORCED:
        losses.note("thinking")
        return False
    shown = {"display": thinking.show} if thinking.show in ("summarized", "omitted") else {}
    if known.thinking == "adaptive":
        body["thinking"] = {"type": "adaptive", **shown}
        effort = thinking.effort or _effort(thinking.budget)
        if effort is not None:
            body["output_config"] = {"effort": _EFFORTS.get(effort, effort)}
        return True
    budget = thinking.budget or _BUDGETS.get(thinking.effort or "medium", _BUDGETS["medium"])
    budget = min(budget, body["max_tokens"] - 1)
    if budget < _LEAST or _called_without_thought(conversation):
        losses.note("thinking")
        return False
    body["thinking"] = {"type": "enabled", "budget_tokens": budget, **shown}
    return True


def _effort(budget: int | None) -> str | None:
    if budget is None:
        return None
    return next((name for name in ("low", "medium", "high") if budget <= _BUDGETS[name]), "max")


def _called_without_thought(conversation: Conversation) -> bool:
    """Whether the last turn of the model has calls and does not begin with thoughts that can be shown."""
    last = next((turn for turn in reversed(conversation.turns) if turn.role == "assistant"), None)
    if last is None or not any(isinstance(block, ToolUse) for block in last.blocks):
        return False
    first = last.blocks[0]
    return not (isinstance(first, Reasoning) and first.seal is not None)
