"""A refusal: why a call of a known key was turned away before anything was sent, kept so that it can be explained."""

import msgspec
from msgspec import Struct

from tollkeeper.core.call import Call
from tollkeeper.core.errors import TollkeeperError

_LONGEST_TEXT = 500
_LONGEST_NOTES = 8192
"""Characters. What a caller sends ends up in neither, but for the model's name."""
_encode = msgspec.json.Encoder().encode


class Refusal(Struct, frozen=True, kw_only=True):
    """What was refused to whom, and the error that the caller got."""

    request_id: str
    at: int
    """Unix milliseconds."""
    key_id: str
    operation: str
    model_asked: str | None
    status: int
    code: str | None
    message: str
    notes: str
    """What the rules found until then, as a JSON list of notes."""


def refusal(call: Call, error: TollkeeperError, at: int) -> Refusal:
    """The record of `error`, which ended `call` at `at` (Unix milliseconds)."""
    notes = _encode(call.notes).decode()
    return Refusal(
        request_id=call.request_id,
        at=at,
        key_id=call.key.id,
        operation=call.dialect.operation,
        model_asked=None if call.model is None else call.model[:_LONGEST_TEXT],
        status=error.status,
        code=error.code,
        message=error.message[:_LONGEST_TEXT],
        notes=notes if len(notes) <= _LONGEST_NOTES else "[]",
    )
