"""The list of models in Ollama's form (https://docs.ollama.com/api/tags)."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

_UNKNOWN = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}
_VERSION = "0.13.0"
_CAPABILITIES = ("completion", "tools", "vision", "thinking")
"""Whether a model has them is its provider's to say; clients offer nothing that is not named here."""


def tags(listed: Iterable[Mapping[str, object]]) -> bytes:
    """OpenAI's model objects as GET /api/tags lists them. Nothing is known of their files: their size is 0.

    The digest is the name's: `ollama list` shows the first digits of one and breaks where there is none.
    """
    models = []
    for model in listed:
        name = str(model["id"])
        models.append(
            {
                "name": name,
                "model": name,
                "modified_at": _modified(model),
                "size": 0,
                "digest": hashlib.sha256(name.encode()).hexdigest(),
                "details": _UNKNOWN,
            }
        )
    return msgspec.json.encode({"models": models})


def show(model: Mapping[str, object]) -> bytes:
    """What POST /api/show tells of one (https://docs.ollama.com/api-reference/show-model-details)."""
    return msgspec.json.encode(
        {"details": _UNKNOWN, "model_info": {}, "capabilities": _CAPABILITIES, "modified_at": _modified(model)}
    )


def running() -> bytes:
    """The answer of GET /api/ps: nothing is held in memory here."""
    return msgspec.json.encode({"models": []})


def version() -> bytes:
    """The answer of GET /api/version: the version of Ollama's API that is answered in."""
    return msgspec.json.encode({"version": _VERSION})


def _modified(model: Mapping[str, object]) -> str:
    created = model.get("created")
    when = datetime.fromtimestamp(created if isinstance(created, int) else 0, UTC)
    return when.isoformat().replace("+00:00", "Z")
