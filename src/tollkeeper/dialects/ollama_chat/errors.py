"""Ollama's errors: a string, in answers and in lines (https://docs.ollama.com/api/errors)."""

from typing import Any

import msgspec

from tollkeeper.core.deltas import Failure
from tollkeeper.dialects.openai_chat import errors as chat_errors

_encode = msgspec.json.encode
read = chat_errors.read


def failure(found: Any, status: int | None) -> Failure:
    """What `error` holds."""
    return Failure(found if isinstance(found, str) else _encode(found).decode(), status or 500)


def render(failure: Failure) -> bytes:
    """`{"error":"message"}`; our code beside it, which Ollama's clients pass over."""
    return _encode({"error": failure.message, **({"code": failure.code} if failure.code is not None else {})})


def render_event(failure: Failure) -> bytes:
    """The last line."""
    return render(failure) + b"\n"
