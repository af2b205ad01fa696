"""The gate's models in each dialect's form, and what else Ollama's clients ask a server about."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tollkeeper.dialects.anthropic_messages import listing as anthropic
from tollkeeper.dialects.gemini_generate import listing as gemini
from tollkeeper.dialects.ollama_chat import listing as ollama
from tollkeeper.dialects.paths import Listing

Model = Mapping[str, object]
"""OpenAI's model object."""
_encode = msgspec.json.encode


def _openai(listed: Sequence[Model]) -> bytes:
    return _encode({"object": "list", "data": listed})


_ALL: dict[str, Callable[[Sequence[Model]], bytes]] = {
    "openai_chat": _openai,
    "anthropic_messages": anthropic.models,
    "gemini_generate": gemini.models,
    "ollama_chat": ollama.tags,
}
_ONE: dict[str, Callable[[Model], bytes]] = {
    "openai_chat": _encode,
    "anthropic_messages": anthropic.model,
    "gemini_generate": gemini.model,
    "ollama_chat": ollama.show,
}


def rendered(asked: Listing, listed: Sequence[Model]) -> bytes:
    """All of `listed`."""
    if asked.what == "version":
        return ollama.version()
    if asked.what == "running":
        return ollama.running()
    return _ALL[asked.dialect.name](listed)


def rendered_one(asked: Listing, model: Model) -> bytes:
    return _ONE[asked.dialect.name](model)
