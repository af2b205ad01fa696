"""Errors of Anthropic Messages, both ways (https://platform.claude.com/docs/en/api/errors)."""

import msgspec

from tollkeeper.core.deltas import Failure

_encode = msgspec.json.encode
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {name: status for status, name in _TYPES.items() if status != 503}


def read(status: int, body: bytes) -> Failure:
    """What a provider says in an error answer."""
    return failure(body, status)


def failure(raw: bytes, status: int | None) -> Failure:
    """The object of an error answer or event. Without `status` it is made out from the type."""
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        found = None
    inner = found.get("error") if isinstance(found, dict) else None
    if isinstance(inner, str):
        inner = {"message": inner}
    if not isinstance(inner, dict):
        text = raw[:1000].decode("utf-8", "replace").strip()
        return Failure(text or "The provider answered with an error.", status or 500)
    message, kind = inner.get("message"), inner.get("type")
    details = inner.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return Failure(
        message if isinstance(message, str) else _encode(inner).decode(),
        status or _STATUSES.get(str(kind), 500),
        kind if isinstance(kind, str) else None,
        code if isinstance(code, str) else None,
    )


def render(failure: Failure) -> bytes:
    """`{"type":"error","error":{"type","message"}}`; our code in the details, where Anthropic has one for its own."""
    kind = _TYPES.get(failure.status) or ("api_error" if failure.status >= 500 else "invalid_request_error")
    error: dict[str, object] = {"type": kind, "message": failure.message}
    if failure.code is not None:
        error["details"] = {"error_code": failure.code}
    return _encode({"type": "error", "error": error})


def render_event(failure: Failure) -> bytes:
    """Named: the SDKs drop an error event that has no name, and take what they have for the whole."""
    return b"event: error\ndata: %b\n\n" % render(failure)
