"""OpenAI's usage objects, of every endpoint and of the providers who imitate them, in our normal form."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tollkeeper.core.usage import Reported, Usage

_NO_DETAILS: dict[str, Any] = {}


def reported(raw: bytes) -> Reported | None:
    """Usage of a raw usage object; None where it holds no numbers we know (null, a duration).

    Fields: https://platform.openai.com/docs/api-reference/chat/object and …/responses/object. Beside them: DeepSeek's
    prompt_cache_hit_tokens, Moonshot's cached_tokens, Perplexity's num_search_queries, and the completion_tokens of xAI and
    Gemini, which leave thoughts out though total_tokens has them (https://discuss.ai.google.dev/t/127400).
    """
    try:
        return _plain(_decode_plainly(raw), raw)
    except (msgspec.DecodeError, RecursionError):
        return _odd(raw)


_Count = Annotated[int, Meta(ge=0)]


class _Details(Struct, frozen=True, forbid_unknown_fields=True):
    cached_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    audio_tokens: _Count = 0
    image_tokens: int = 0
    text_tokens: int = 0
    reasoning_tokens: _Count = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


_NOTHING_MORE = _Details()


class _Plain(Struct, forbid_unknown_fields=True):
    """OpenAI's own chat usage and nothing beside it: most answers, read in a tenth of the time of an odd one."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: int
    prompt_tokens_details: _Details = _NOTHING_MORE
    completion_tokens_details: _Details = _NOTHING_MORE


_decode_plainly = msgspec.json.Decoder(_Plain).decode


def _plain(usage: _Plain, raw: bytes) -> Reported | None:
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    inside, outside = usage.prompt_tokens_details, usage.completion_tokens_details
    if total != prompt + completion or total >= 2**53:
        return _odd(raw)
    if inside.cached_tokens + inside.cache_write_tokens > prompt or inside.audio_tokens > prompt:
        return _odd(raw)
    if outside.reasoning_tokens > completion or outside.audio_tokens > completion:
        return _odd(raw)
    return Reported(
        Usage(
            input_tokens=prompt,
            cached_input_tokens=inside.cached_tokens,
            cache_write_tokens=inside.cache_write_tokens,
            audio_input_tokens=inside.audio_tokens,
            output_tokens=completion,
            reasoning_tokens=outside.reasoning_tokens,
            audio_output_tokens=outside.audio_tokens,
        ),
        raw,
    )


def _odd(raw: bytes) -> Reported | None:
    try:
        usage = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(usage, dict):
        return None
    prompt = _first(usage, "prompt_tokens", "input_tokens")
    completion = _first(usage, "completion_tokens", "output_tokens")
    total = _first(usage, "total_tokens")
    if prompt is None:
        if completion is None and total is None:
            return None
        prompt = max(0, (total or 0) - (completion or 0))
    inside = _details(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    outside = _details(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    reasoning = _first(outside, "reasoning_tokens") or 0
    output = completion or 0
    thoughts = (total or 0) - prompt - output
    if thoughts > 0 and completion is not None and reasoning in (0, thoughts):
        output += thoughts
        reasoning = thoughts
    cached = _first(inside, "cached_tokens")
    if cached is None:
        cached = _first(usage, "prompt_cache_hit_tokens", "cached_tokens")
    written = _first(inside, "cache_write_tokens") or 0
    return Reported(
        Usage(
            input_tokens=max(prompt, (cached or 0) + written),
            cached_input_tokens=cached or 0,
            cache_write_tokens=written,
            audio_input_tokens=_first(inside, "audio_tokens") or 0,
            output_tokens=output,
            reasoning_tokens=reasoning,
            audio_output_tokens=_first(outside, "audio_tokens") or 0,
            web_searches=_first(usage, "num_search_queries") or 0,
        ),
        raw,
    )


def _first(found: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = found.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**53:
            return int(value)
    return None


def _details(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        value = usage.get(name)
        if isinstance(value, dict):
            return value
    return _NO_DETAILS
