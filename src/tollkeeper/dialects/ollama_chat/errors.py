"""Errors of Ollama, both ways: `{"error":"…"}`, as an answer and as a line of a stream.

Beside it stands our code, which Ollama's clients pass over.
"""

import msgspec
from msgspec import Struct

from tollkeeper.core.deltas import Failure
from tollkeeper.dialects import lenient

_encode = msgspec.json.encode


class _Error(Struct):
    message: str | None = None
    type: str | None = None
    code: str | None = None


class _Envelope(Struct):
    error: str | _Error | None = None
    code: str | None = None


_decode = lenient.decoder(_Envelope)


def read(status: int, body: bytes) -> Failure:
    """What a provider says in an error answer. Its OpenAI-like endpoints and proxies before it say it in an object."""
    try:
        found = _decode(body)
    except ValueError:
        found = _Envelope()
    error = found.error
    if isinstance(error, str) and error:
        return Failure(error, status, None, found.code)
    if isinstance(error, _Error) and error.message:
        return Failure(error.message, status, error.type, error.code or found.code)
    text = body[:1000].decode("utf-8", "replace").strip()
    return Failure(text or "The provider answered with an error.", status)


def render(failure: Failure) -> bytes:
    """The body of an error answer."""
    found = {"error": failure.message}
    return _encode(found if failure.code is None else {**found, "code": failure.code})


def render_event(failure: Failure) -> bytes:
    """The line that ends a stream badly."""
    return render(failure) + b"\n"
