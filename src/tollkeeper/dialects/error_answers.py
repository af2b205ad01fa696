"""Whole answers that HTTP calls a success and that say nothing but an error, as OpenRouter's and some proxies' do."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

_NOT_TOLD = frozenset((401, 403, 407, 409))
"""What a client would take for a word about its own key, or for a reason to ask again without end."""


class _Answer(Struct):
    error: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    """A response that failed has one: it is an answer, and can be looked at again."""


class _Error(Struct):
    code: str | int | None = None
    type: str | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_error = msgspec.json.Decoder(_Error).decode


def code_of(body: bytes) -> str | None:
    """The error's code or type, `error` where it has neither; None where the JSON object `body` is another answer.

    OpenRouter: https://openrouter.ai/docs/api-reference/errors; its codes are statuses.
    """
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if answer.error is UNSET or answer.id is not UNSET:
        return None
    raw = bytes(answer.error)
    if not raw.startswith((b"{", b'"')) or raw in (b"{}", b'""'):
        return None
    try:
        error = _decode_error(raw)
    except (msgspec.DecodeError, RecursionError):
        return "error"
    return str(error.code if error.code is not None else error.type or "error")[:64]


def status_of(code: str) -> int:
    """The status that a client is to see for an error of this code."""
    status = int(code) if code.isdecimal() and len(code) == 3 else 0
    return status if 400 <= status < 600 and status not in _NOT_TOLD else 502
