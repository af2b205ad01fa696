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
    data = []
    for model in listed:
        name = str(model["id"])
        data.append({"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": _METHODS})
    return msgspec.json.encode({"models": data})


def count(tokens: int) -> bytes:
    """The answer of countTokens."""
    return msgspec.json.encode({"totalTokens": tokens})


def counted(body: bytes) -> int | None:
    """What a provider's answer of countTokens says. Raises ValueError where it is not a JSON object."""
    return _decode_count(body).totalTokens
