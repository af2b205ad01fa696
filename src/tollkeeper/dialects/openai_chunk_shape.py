"""One chunk of a chat or text completion's stream, decoded as far as the gate reads it."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.dialects import openai_request


class Function(Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    function: Function | None = None


class Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class Choice(Struct):
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class Groq(Struct):
    usage: Raw | UnsetType = UNSET


class Chunk(Struct):
    model: str | None = None
    service_tier: str | None = None
    choices: list[Choice] | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    x_groq: Groq | None = None


class _Loose(Struct):
    """The same, for chunks that are unlike OpenAI's somewhere: still JSON, still with usage and errors."""

    model: Any = None
    service_tier: Any = None
    choices: Any = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode_strictly = msgspec.json.Decoder(Chunk).decode
_decode_loosely = msgspec.json.Decoder(_Loose).decode
_SAID = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")


def decode(data: bytes) -> Chunk:
    """Raises ValueError where the data is not a JSON object."""
    try:
        try:
            return _decode_strictly(data)
        except msgspec.ValidationError:
            return _tightened(_decode_loosely(data))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _tightened(loose: _Loose) -> Chunk:
    """What is like OpenAI's in it: Mistral's reasoning models stream `content` as a list of parts
    (https://docs.mistral.ai/capabilities/reasoning).
    """
    listed = loose.choices if isinstance(loose.choices, list) else [loose.choices] if loose.choices else []
    choices = []
    for choice in listed:
        found = choice if isinstance(choice, dict) else {}
        delta = found.get("delta")
        said = [delta.get(name) for name in _SAID] if isinstance(delta, dict) else []
        finish = found.get("finish_reason")
        text = "".join(openai_request.texts([*said, found.get("text")]))
        choices.append(Choice(text=text, finish_reason=finish if isinstance(finish, str) else None))
    return Chunk(
        model=loose.model if isinstance(loose.model, str) else None,
        service_tier=loose.service_tier if isinstance(loose.service_tier, str) else None,
        choices=choices,
        usage=loose.usage,
        error=loose.error,
    )
