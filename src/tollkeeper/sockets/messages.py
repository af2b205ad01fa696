"""What a client sends on a socket: one JSON object a message, read and checked."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.errors import CallerError
from tollkeeper.wire import json_text

LONGEST_ID = 128


class Asked(Struct, frozen=True):
    """One message."""

    action: str | None
    id: str | None
    """The client's name for its request: frames that answer it carry it."""
    data: bytes | None
    """The member `data`, JSON."""
    model: str | None = None


class _Envelope(Struct):
    action: str | None = None
    id: str | int | None = None
    request_id: str | int | None = None
    model: str | None = None
    data: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Envelope).decode


def read(text: str) -> Asked:
    """Raises CallerError (invalid_json, invalid_type, invalid_value)."""
    data = text.encode("utf-8", "surrogatepass")
    try:
        json_text.members(data)
        found = _decode(data)
    except json_text.BadJson as error:
        raise CallerError(f"We could not parse the message as JSON: {error}.", code="invalid_json") from None
    except msgspec.ValidationError as error:
        words, _, at = str(error).partition(" - at ")
        field = at.strip("`").removeprefix("$.") or None
        raise CallerError(
            f"Invalid message: {words[0].lower() + words[1:]}{f' at {field!r}' if field else ''}.",
            code="invalid_type",
            param=field,
        ) from None
    id = found.id if found.id is not None else found.request_id
    if id is not None:
        id = str(id)
        if not 0 < len(id) <= LONGEST_ID:
            raise CallerError(f"An id has 1 to {LONGEST_ID} characters.", code="invalid_value", param="id")
    return Asked(found.action, id, None if found.data is UNSET else bytes(found.data), found.model)
