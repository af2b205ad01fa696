"""Errors of Chat Completions, both ways (https://platform.openai.com/docs/guides/error-codes)."""

from typing import Any

import msgspec

from tollkeeper.core.deltas import Failure

_encode = msgspec.json.encode
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "tokens": 429,
    "requests": 429,
    "server_error": 500,
    "overloaded_error": 503,
    "engine_overloaded": 503,
}


def read(status: int, body: bytes) -> Failure:
    """What a provider says in an error answer: OpenAI's envelope, FastAPI's `detail`, a bare message, or anything."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = body[:1000].decode("utf-8", "replace").strip()
    while isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        found = found.get("error") or found.get("message") or found.get("detail") or found
    return _failure(found, status)


def failure(raw: bytes, status: int | None) -> Failure:
    """The error object of a stream's chunk. Without `status` it is made out from the object's code or type."""
    return _failure(msgspec.json.decode(raw), status)


def _failure(found: Any, status: int | None) -> Failure:
    if not isinstance(found, dict):
        text = found if isinstance(found, str) else _encode(found).decode()
        return Failure(text or "The provider answered with an error.", status or 500)
    message, kind, code, param = (found.get(name) for name in ("message", "type", "code", "param"))
    if status is None:
        numbers: list[Any] = [
            value for value in (found.get("status_code"), found.get("status"), code) if _is_status(value)
        ]
        status = numbers[0] if numbers else _STATUSES.get(str(code)) or _STATUSES.get(str(kind)) or 500
    return Failure(
        message if isinstance(message, str) else _encode(found).decode(),
        status,
        kind if isinstance(kind, str) else None,
        str(code) if isinstance(code, (str, int)) and code != status else None,
        param if isinstance(param, str) else None,
    )


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600


def render(failure: Failure) -> bytes:
    """`{"error":{"message","type","param","code"}}`"""
    kind = failure.type if failure.type in _STATUSES else _TYPES.get(failure.status, "server_error")
    return _encode({"error": {"message": failure.message, "type": kind, "param": failure.param, "code": failure.code}})


def render_event(failure: Failure) -> bytes:
    """A data-only event: what OpenAI's SDKs raise as APIError."""
    return b"data: %b\n\n" % render(failure)
