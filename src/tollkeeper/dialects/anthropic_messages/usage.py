"""Anthropic's usage objects in our normal form (https://platform.claude.com/docs/en/api/messages).

Rule 1: their input_tokens leave cached and cache-written tokens out; ours have them in.
Rule 2: a message_delta's figures replace those of message_start, whichever are greater.
Rule 3: where `iterations` are listed, what is billed is their sum, not the figures beside them.
"""

from typing import Any

import msgspec
from msgspec import Struct

from tollkeeper.core.usage import Reported, Usage
from tollkeeper.dialects import lenient


class _Thinking(Struct):
    thinking_tokens: int | None = None


class _Written(Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _Counts(Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _Written | None = None
    output_tokens: int | None = None
    output_tokens_details: _Thinking | None = None


class _Tools(Struct):
    web_search_requests: int | None = None


class _Usage(_Counts):
    server_tool_use: _Tools | None = None
    iterations: list[_Counts] | None = None
    service_tier: str | None = None


_decode = lenient.decoder(_Usage)


def reported(raw: bytes) -> Reported | None:
    """None where it holds no numbers that we know."""
    try:
        found = _decode(raw)
    except ValueError:
        return None
    counts: list[_Counts] = [part for part in found.iterations or () if _total(part)] or [found]
    if found.input_tokens is None and found.output_tokens is None and counts == [found]:
        return None
    read = sum(_positive(part.cache_read_input_tokens) for part in counts)
    written = sum(_positive(part.cache_creation_input_tokens) for part in counts)
    hour = sum(_hour(part) for part in counts) or _hour(found)
    output = sum(_positive(part.output_tokens) for part in counts)
    thought, searched = found.output_tokens_details, found.server_tool_use
    return Reported(
        Usage(
            input_tokens=sum(_positive(part.input_tokens) for part in counts) + read + written,
            cached_input_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=min(written, hour),
            output_tokens=output,
            reasoning_tokens=min(output, _positive(thought.thinking_tokens)) if thought is not None else 0,
            web_searches=_positive(searched.web_search_requests) if searched is not None else 0,
        ),
        raw,
    )


def tier(raw: bytes) -> str | None:
    """The service tier it was served in."""
    try:
        return _decode(raw).service_tier
    except ValueError:
        return None


def _positive(count: int | None) -> int:
    return count if count is not None and 0 < count < 2**53 else 0


def _hour(part: _Counts) -> int:
    return 0 if part.cache_creation is None else _positive(part.cache_creation.ephemeral_1h_input_tokens)


def _total(part: _Counts) -> int:
    return _positive(part.input_tokens) + _positive(part.output_tokens)


def merged(begun: bytes | None, ended: bytes) -> bytes:
    """Raw usage of a message_start with that of a later message_delta laid over it; nulls there say nothing."""
    if begun is None:
        return ended
    try:
        before = msgspec.json.decode(begun)
        after = msgspec.json.decode(ended)
    except (ValueError, RecursionError):
        return ended
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ended
    return msgspec.json.encode({**before, **{name: value for name, value in after.items() if value is not None}})


def rendered(reported: Reported | None) -> dict[str, Any]:
    """The usage object for a client; zeros where nothing is known yet."""
    if reported is None:
        return {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
    usage = reported.usage
    plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    found: dict[str, Any] = {
        "input_tokens": max(0, plain),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.cache_write_1h_tokens:
        found["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, usage.cache_write_tokens - usage.cache_write_1h_tokens),
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.reasoning_tokens:
        found["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.web_searches:
        found["server_tool_use"] = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    return found
