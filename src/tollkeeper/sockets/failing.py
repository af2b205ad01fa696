"""Errors as OpenAI's sockets write them: an event of the type `error` with a status and the usual envelope."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tollkeeper.core.deltas import Failure

_encode = msgspec.json.encode
_TOLD = (b"retry-after", b"retry-after-ms", b"x-should-retry")


def frame(failure: Failure, lane: str | None = None, headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """`{"type":"error","status":429,"error":{"type","code","message","param","headers"}}`, with the lane's `stream_id`."""
    told = {name.decode(): value.decode("latin-1") for name, value in headers if name in _TOLD}
    error: dict[str, Any] = {
        "type": failure.type or "server_error",
        "code": failure.code,
        "message": failure.message,
        "param": failure.param,
    }
    if told:
        error["headers"] = told
    said: dict[str, Any] = {"type": "error", "status": failure.status, "error": error}
    return _encode(said if lane is None else {**said, "stream_id": lane})


def inner(event: bytes) -> bytes:
    """An HTTP stream's error event (code, message, param beside its type) as a whole error answer."""
    found = msgspec.json.decode(event)
    if isinstance(found.get("error"), dict):
        return event
    return _encode({"error": {name: found.get(name) for name in ("message", "type", "param", "code")}})
