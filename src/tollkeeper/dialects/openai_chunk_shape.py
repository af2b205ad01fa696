"""One chunk of a chat or text completion's stream, decoded as far as the gate reads it."""

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.dialects import lenient


class Function(Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCall(Struct):
    function: Function | None = None


class Delta(Struct):
    content: str | list[Any] | None = None
    """A list of parts from Mistral's reasoning models (https://docs.mistral.ai/capabilities/reasoning)."""
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


decode = lenient.decoder(Chunk)
"""Raises ValueError where the data is not a JSON object."""
