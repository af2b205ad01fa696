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


def tags(listed: Iterable[Mapping[str, object]]) -> bytes:
    """OpenAI's model objects as GET /api/tags lists them. Nothing is known of their files: their size is 0.

    The digest is the name's: `ollama list` shows the first digits of one and breaks where there is none.
    """
    models = []
    for model in listed:
        name, created = str(model["id"]), model.get("created")
        when = datetime.fromtimestamp(created if isinstance(created, int) else 0, UTC)
        models.append(
            {
                "name": name,
                "model": name,
                "modified_at": when.isoformat().replace("+00:00", "Z"),
                "size": 0,
                "digest": hashlib.sha256(name.encode()).hexdigest(),
                "details": _UNKNOWN,
            }
        )
    return msgspec.json.encode({"models": models})
