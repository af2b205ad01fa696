"""What Claude models differ in, as far as a request must know (https://platform.claude.com/docs/en/about-claude/models)."""

from typing import Literal

from msgspec import Struct


class Facts(Struct, frozen=True):
    """About one family of models."""

    output_limit: int = 8192
    """Sent as max_tokens where the client names none."""
    thinking: Literal["adaptive", "budget"] = "budget"
    """adaptive: takes an effort and no budget."""
    sampling: bool = True
    """Whether temperature, top_p and top_k are taken."""
    later_system: bool = False
    """Whether instructions may stand between turns."""
    schema: bool = False
    """Whether output_config.format is taken."""


_OTHERS = Facts()
"""Others who speak this dialect (DeepSeek, Moonshot, MiniMax, …), and models that are older than those below."""
_BY_PREFIX: tuple[tuple[str, Facts], ...] = (
    ("claude-3-haiku", Facts(4096)),
    ("claude-3-opus", Facts(4096)),
    ("claude-3-7", Facts(64_000)),
    ("claude-3", Facts(8192)),
    ("claude-opus-4-0", Facts(32_000)),
    ("claude-opus-4-1", Facts(32_000, schema=True)),
    ("claude-opus-4-2025", Facts(32_000)),
    ("claude-sonnet-4-0", Facts(64_000)),
    ("claude-sonnet-4-2025", Facts(64_000)),
    ("claude-haiku-4-5", Facts(64_000, schema=True)),
    ("claude-sonnet-4-5", Facts(64_000, schema=True)),
    ("claude-opus-4-5", Facts(64_000, schema=True)),
    ("claude-sonnet-4-6", Facts(64_000, "adaptive", schema=True)),
    ("claude-opus-4-6", Facts(64_000, "adaptive", schema=True)),
    ("claude-", Facts(64_000, "adaptive", False, True, True)),
)


def facts(model: str) -> Facts:
    """The first family that the name begins with, whatever a cloud put before it (`us.anthropic.claude-…`)."""
    at = model.find("claude-")
    if at < 0:
        return _OTHERS
    name = model[at:].replace(".", "-")
    return next(found for prefix, found in _BY_PREFIX if name.startswith(prefix))
