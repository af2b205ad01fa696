"""Whole answers of OpenAI's endpoints: the usage and the model they name."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.usage import Heard
from tollkeeper.dialects import openai_usage


class _Answer(Struct):
    model: str | None = None
    service_tier: str | None = None
    usage: Raw | UnsetType = UNSET


class _Bare(Struct):
    usage: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Answer).decode
_decode_barely = msgspec.json.Decoder(_Bare).decode


def read(body: bytes) -> Heard:
    """What a JSON answer says; nothing where it is not an object. Raises ValueError where it is not JSON."""
    try:
        answer = _decode(body)
        usage, model, tier = answer.usage, answer.model, answer.service_tier
    except msgspec.ValidationError:
        try:
            usage, model, tier = _decode_barely(body).usage, None, None
        except msgspec.ValidationError:
            return Heard()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    reported = openai_usage.reported(bytes(usage)) if usage is not UNSET else None
    return Heard(reported, model, tier)


def choices(body: bytes) -> list[dict[str, Any]]:
    """The choices that are objects; none where the answer is not like OpenAI's."""
    answer = msgspec.json.decode(body)
    listed = answer.get("choices") if isinstance(answer, dict) else None
    return [choice for choice in listed if isinstance(choice, dict)] if isinstance(listed, list) else []
