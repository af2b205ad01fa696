"""Errors of Google's APIs, both ways (https://cloud.google.com/apis/design/errors)."""

import msgspec

from tollkeeper.core.deltas import Failure

_encode = msgspec.json.encode
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_REASON = "type.googleapis.com/google.rpc.ErrorInfo"


def read(status: int, body: bytes) -> Failure:
    """What a provider says in an error answer, wrapped in an array or not."""
    return failure(body, status)


def failure(raw: bytes, status: int | None) -> Failure:
    """The object of an error answer or of a stream's last event."""
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        found = None
    while isinstance(found, list) and found:
        found = found[0]
    inner = found.get("error") if isinstance(found, dict) else None
    if isinstance(inner, str):
        inner = {"message": inner}
    if not isinstance(inner, dict):
        text = raw[:1000].decode("utf-8", "replace").strip()
        return Failure(text or "The provider answered with an error.", status or 500)
    message, number, name = inner.get("message"), inner.get("code"), inner.get("status")
    if status is None:
        status = number if isinstance(number, int) and 400 <= number < 600 else 500
    return Failure(
        message if isinstance(message, str) else _encode(inner).decode(),
        status,
        name if isinstance(name, str) else None,
        _reason(inner.get("details")),
    )


def _reason(details: object) -> str | None:
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("@type") == _REASON and isinstance(detail.get("reason"), str):
            return str(detail["reason"])
    return None


def render(failure: Failure) -> bytes:
    """`{"error":{"code","message","status"}}`; our code as the reason of an ErrorInfo."""
    name = _STATUSES.get(failure.status) or ("INTERNAL" if failure.status >= 500 else "FAILED_PRECONDITION")
    error: dict[str, object] = {"code": failure.status, "message": failure.message, "status": name}
    if failure.code is not None:
        error["details"] = [{"@type": _REASON, "reason": failure.code, "domain": "tollkeeper"}]
    return _encode({"error": error})


def render_event(failure: Failure) -> bytes:
    """A data event: Google's clients look for `error` in what they read."""
    return b"data: %b\r\n\r\n" % render(failure)
