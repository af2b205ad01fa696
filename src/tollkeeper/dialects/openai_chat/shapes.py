"""Chunks and whole answers of Chat Completions, decoded as far as translation reads them."""

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.dialects import lenient


class Function(Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    """A string; some local servers give the object itself."""


class Custom(Struct):
    name: str | None = None
    input: str | None = None


class ToolCall(Struct):
    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Any = None


class Message(Struct):
    """What `delta` and `message` have in common: nearly everything."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    annotations: list[Any] | None = None
    extra_content: Any = None


class TopLogprob(Struct):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class Logprob(TopLogprob):
    top_logprobs: list[TopLogprob] | None = None


class Logprobs(Struct):
    content: list[Logprob] | None = None
    refusal: list[Logprob] | None = None


class Choice(Struct):
    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Groq(Struct):
    usage: Raw | UnsetType = UNSET


class Chunk(Struct):
    id: str | None = None
    created: int | None = None
    model: str | None = None
    service_tier: str | None = None
    choices: list[Choice] | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    x_groq: Groq | None = None
    moderation: Raw | UnsetType = UNSET
    prompt_filter_results: Raw | UnsetType = UNSET


decode = lenient.decoder(Chunk)
