"""The list of models and the count of tokens, in Gemini's form (https://ai.google.dev/api/models, …/api/tokens)."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from tollkeeper.dialects import lenient

_METHODS = ("generateContent", "streamGenerateContent", "countTokens")


class _Count(Struct):
    totalTokens: int | None = None


_decode_count = lenient.decoder(_Count)


def models(listed: Iterable[Mapping[str, object]]) -> bytes:
    """OpenAI's model objects as Gemini lists them. All of them: there is no second page."""
    return msgspec.json.encode({"models": [_model(model) for model in listed]})


def model(found: Mapping[str, object]) -> bytes:
    """One of them."""
    return msgspec.json.encode(_model(found))


def _model(found: Mapping[str, object]) -> dict[str, object]:
    name = str(found["id"])
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": _METHODS}


def count(tokens: int) -> bytes:
    """The answer of countTokens."""
    return msgspec.json.encode({"totalTokens": tokens})


def counted(body: bytes) -> int | None:
    """What a provider's answer of countTokens says. Raises ValueError where it is not a JSON object."""
    return _decode_count(body).totalTokens
