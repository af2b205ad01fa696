"""What Anthropic's requests can cost at most: input by their bytes, output by max_tokens."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollkeeper.core.budget import Bounds
from tollkeeper.dialects import openai_bounds

_FRAME = 1024
"""Tokens that Anthropic puts around what was sent; with tools its preamble alone is some 300 to 800
(https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing)."""
_TEXTS = frozenset(("text", "thinking", "redacted_thinking", "tool_use"))


class _Tool(Struct):
    type: str | None = None


class _Block(Struct):
    type: str = "text"
    content: Any = None


class _Message(Struct):
    content: str | list[_Block] = ""


_decode_tools = msgspec.json.Decoder(list[_Tool] | None).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode


def of(members: Mapping[str, Raw], size: int) -> Bounds:
    """Of POST /messages with a body of `size` bytes. Raises CallerError where max_tokens is no number."""
    limit = openai_bounds.count(members, "max_tokens")
    return Bounds(
        input_tokens=size + _FRAME,
        elsewhere="mcp_servers" in members or _hosted(members.get("tools")) or _pictures(members.get("messages")),
        output_tokens=limit,
        field="max_tokens",
        stated=limit is not None,
    )


def _hosted(tools: Raw | None) -> bool:
    """Whether a tool is one that Anthropic runs: what it finds becomes input."""
    if tools is None:
        return False
    try:
        return any(tool.type not in (None, "custom") for tool in _decode_tools(tools) or ())
    except (msgspec.DecodeError, RecursionError):
        return True


def _pictures(messages: Raw | None) -> bool:
    """Whether there is anything whose tokens are not bounded by its bytes."""
    if messages is None:
        return True
    try:
        found = _decode_messages(messages)
    except (msgspec.DecodeError, RecursionError):
        return True
    return any(not _is_text(message.content) for message in found)


def _is_text(content: str | list[_Block]) -> bool:
    if isinstance(content, str):
        return True
    for block in content:
        if block.type == "tool_result":
            inner = block.content
            listed = inner if isinstance(inner, list) else []
            if any(not isinstance(part, dict) or part.get("type") != "text" for part in listed):
                return False
        elif block.type not in _TEXTS:
            return False
    return True
