"""The list of models and the count of tokens, in Anthropic's form."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from tollkeeper.dialects import lenient

_encode = msgspec.json.encode


class _Count(Struct):
    input_tokens: int | None = None


_decode_count = lenient.decoder(_Count)


def models(listed: Iterable[Mapping[str, object]]) -> bytes:
    """OpenAI's model objects as Anthropic lists them (https://platform.claude.com/docs/en/api/models-list).

    All of them: there is no second page.
    """
    data = []
    for model in listed:
        name, created = str(model["id"]), model.get("created")
        when = datetime.fromtimestamp(created if isinstance(created, int) else 0, UTC)
        at = when.isoformat().replace("+00:00", "Z")
        data.append({"type": "model", "id": name, "display_name": name, "created_at": at})
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return _encode({"data": data, "has_more": False, "first_id": first, "last_id": last})


def count(tokens: int) -> bytes:
    """The answer of /messages/count_tokens."""
    return _encode({"input_tokens": tokens})


def counted(body: bytes) -> int | None:
    """What a provider's answer of /messages/count_tokens says. Raises ValueError where it is not a JSON object."""
    return _decode_count(body).input_tokens
