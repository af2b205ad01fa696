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
    data = [_model(model) for model in listed]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return _encode({"data": data, "has_more": False, "first_id": first, "last_id": last})


def model(found: Mapping[str, object]) -> bytes:
    """One of them."""
    return _encode(_model(found))


def _model(found: Mapping[str, object]) -> dict[str, object]:
    name, created = str(found["id"]), found.get("created")
    when = datetime.fromtimestamp(created if isinstance(created, int) else 0, UTC)
    at = when.isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": name, "display_name": name, "created_at": at}


def count(tokens: int) -> bytes:
    """The answer of /messages/count_tokens."""
    return _encode({"input_tokens": tokens})


def counted(body: bytes) -> int | None:
    """What a provider's answer of /messages/count_tokens says. Raises ValueError where it is not a JSON object."""
    return _decode_count(body).input_tokens
