"""How much OpenAI's dialects think and how soon they serve, in their words."""

from tollkeeper.core.conversation import Conversation

_BUDGETS = ((1024, "minimal"), (4096, "low"), (12_000, "medium"))


def openai_effort(conversation: Conversation) -> str | None:
    """The effort that comes nearest to what was asked for; None where there is none to say."""
    thinking = conversation.thinking
    if thinking is None:
        return None
    if thinking.effort == "max":
        return "xhigh"
    if thinking.effort == "none" and not conversation.dialect.startswith("openai_"):
        return None  # for newer models only; the others do what they do by themselves
    if thinking.effort is not None or thinking.budget is None:
        return thinking.effort
    return next((effort for most, effort in _BUDGETS if thinking.budget <= most), "high")


def openai_tier(conversation: Conversation) -> str | None:
    """The service tier; None where it has no such."""
    if conversation.dialect.startswith("openai_"):
        return conversation.tier
    return {"standard_only": "default", "auto": "auto"}.get(conversation.tier or "")
