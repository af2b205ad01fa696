"""Errors of the Responses API: answers in OpenAI's envelope, and events without a status."""

from typing import Any

import msgspec

from tollkeeper.core.deltas import Failure
from tollkeeper.dialects.openai_chat import errors as chat_errors

read = chat_errors.read
render = chat_errors.render
_encode = msgspec.json.encode


def failure(raw: bytes) -> Failure:
    """The object of an `error` event or a failed response; the status is made out from its code."""
    found = msgspec.json.decode(raw)
    inner = found.get("error") if isinstance(found, dict) else None
    if isinstance(inner, dict):
        return chat_errors.failure(_encode(inner), None)
    if isinstance(found, dict) and found.get("type") == "error":
        found = {name: value for name, value in found.items() if name != "type"}
    return chat_errors.failure(_encode(found), None)


def event(failure: Failure, number: int) -> bytes:
    """An `error` event (https://platform.openai.com/docs/api-reference/responses-streaming/error)."""
    data: dict[str, Any] = {
        "type": "error",
        "code": failure.code,
        "message": failure.message,
        "param": failure.param,
        "sequence_number": number,
    }
    return b"event: error\ndata: %b\n\n" % _encode(data)
