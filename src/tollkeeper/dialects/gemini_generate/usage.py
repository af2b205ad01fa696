"""Gemini's usageMetadata in our normal form (https://ai.google.dev/api/generate-content#UsageMetadata).

Their prompt count has cached tokens in it; what hosted tools put into the prompt and what was thought stand beside the
counts that ours have them in.
"""

from typing import Any

from msgspec import Struct

from tollkeeper.core.usage import Reported, Usage
from tollkeeper.dialects import lenient


class _Modality(Struct):
    modality: str | None = None
    tokenCount: int | None = None


class _Usage(Struct):
    promptTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    toolUsePromptTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    totalTokenCount: int | None = None
    promptTokensDetails: list[_Modality] | None = None
    cacheTokensDetails: list[_Modality] | None = None
    candidatesTokensDetails: list[_Modality] | None = None
    serviceTier: str | None = None


_decode = lenient.decoder(_Usage)


def reported(raw: bytes) -> tuple[Reported, str | None] | None:
    """The usage and the service tier; None where there are no counts."""
    try:
        found = _decode(raw)
    except ValueError:
        return None
    if found.promptTokenCount is None and found.candidatesTokenCount is None and found.totalTokenCount is None:
        return None
    prompt = _positive(found.promptTokenCount) + _positive(found.toolUsePromptTokenCount)
    thoughts = _positive(found.thoughtsTokenCount)
    cached = _positive(found.cachedContentTokenCount)
    usage = Usage(
        input_tokens=max(prompt, cached),
        cached_input_tokens=cached,
        audio_input_tokens=_audio(found.promptTokensDetails),
        cached_audio_input_tokens=_audio(found.cacheTokensDetails),
        output_tokens=_positive(found.candidatesTokenCount) + thoughts,
        reasoning_tokens=thoughts,
        audio_output_tokens=_audio(found.candidatesTokensDetails),
    )
    return Reported(usage, raw), found.serviceTier


def _positive(count: int | None) -> int:
    return count if count is not None and 0 < count < 2**53 else 0


def _audio(details: list[_Modality] | None) -> int:
    return sum(_positive(found.tokenCount) for found in details or () if found.modality == "AUDIO")


def rendered(reported: Reported | None) -> dict[str, Any] | None:
    """For a client."""
    if reported is None:
        return None
    usage = reported.usage
    found: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_input_tokens:
        found["cachedContentTokenCount"] = usage.cached_input_tokens
    if usage.reasoning_tokens:
        found["thoughtsTokenCount"] = usage.reasoning_tokens
    return found
