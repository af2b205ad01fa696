"""Request bodies: read whole where they must be understood, passed on as they come where they need not."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from tollkeeper.core.call import Upload
from tollkeeper.core.errors import CallerError, ClientLeft
from tollkeeper.wire import multipart

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_IN_MEMORY = 1024 * 1024
_PIECE = 256 * 1024
_SPACE = 64 * 1024
"""Bytes of white space before which a body may begin."""


def too_large(limit: int) -> CallerError:
    """What a body of more than `limit` bytes is answered with."""
    return CallerError(f"The request body exceeds {limit} bytes.", status=413, code="request_too_large")


def declared(length: bytes | None, limit: int) -> int | None:
    """The content-length, None where there is none. Raises CallerError (413) where it exceeds `limit`."""
    if length is None:
        return None
    size = int(length)
    if size > limit:
        raise too_large(limit)
    return size


async def whole(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises CallerError (413) and ClientLeft."""
    message = await receive()
    if message["type"] != "http.request":
        raise ClientLeft("The client left.")
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise too_large(limit)
        return body
    parts = [body]
    size = len(body)
    async for chunk in streamed(receive, limit - size):
        parts.append(chunk)
    return b"".join(parts)


class Streamed:
    """The same as `streamed`, begun only when it is asked for: most bodies are small, and then read as a whole."""

    __slots__ = ("_begun", "_limit", "_receive")

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._begun: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._begun is None:
            self._begun = streamed(self._receive, self._limit)
        return self._begun


async def streamed(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises CallerError (413) and ClientLeft."""
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft("The client left.")
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        if chunk:
            yield chunk


async def begun(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """What a body begins with, white space left out, and the whole of it. Raises CallerError and ClientLeft."""
    kept = b""
    async for chunk in chunks:
        kept += chunk
        if len(kept) > _SPACE or not kept.isspace():
            break

    async def again() -> AsyncIterator[bytes]:
        if kept:
            yield kept
        async for chunk in chunks:
            yield chunk

    return kept.lstrip(), again()


async def joined(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """All of them. Raises CallerError (413) and ClientLeft."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        parts.append(chunk)
    return b"".join(parts)


async def form(receive: Receive, limit: int, content_type: str, length: int | None) -> tuple[Upload, str | None]:
    """A multipart form: its `model` field, and an upload of the very bytes.

    Clients that send the model before the file have the file streamed through. What comes before the model is kept, on
    disk past a megabyte. Raises CallerError and ClientLeft.
    """
    try:
        reader = multipart.FieldReader(multipart.boundary_of(content_type), "model")
        chunks = streamed(receive, limit)
        kept = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `_replay`
        ended = True
        async for chunk in chunks:
            kept.write(chunk)
            reader.feed(chunk)
            if reader.value is not None:
                ended = False
                break
    except multipart.BadForm as error:
        raise _bad_form(error) from None
    if ended and not reader.finished and reader.value is None:
        raise CallerError("We could not read the form in the body: it ends early.", code="invalid_form")

    def replaced(model: str) -> tuple[AsyncIterator[bytes], int | None]:
        new = model.encode()
        grown = len(new) - (reader.end - reader.start)
        return _replay(
            kept, _watched(chunks, reader), (reader.start, reader.end, new)
        ), None if length is None else length + grown

    model = reader.value
    upload = Upload(_replay(kept, _watched(chunks, reader), None), length, replaced if model is not None else None)
    return upload, model


def _bad_form(error: multipart.BadForm) -> CallerError:
    return CallerError(f"We could not read the form in the body: {error}.", code="invalid_form")


async def _watched(chunks: AsyncIterator[bytes], reader: multipart.FieldReader) -> AsyncIterator[bytes]:
    """The rest of a form whose model is known: a second model in it, which the provider might believe, ends the upload."""
    async for chunk in chunks:
        try:
            reader.feed(chunk)
        except multipart.BadForm as error:
            raise _bad_form(error) from None
        yield chunk


async def _replay(
    kept: "tempfile.SpooledTemporaryFile[bytes]", rest: AsyncIterator[bytes], edit: tuple[int, int, bytes] | None
) -> AsyncIterator[bytes]:
    with kept:
        kept.seek(0)
        if edit is not None:
            start, end, new = edit
            while start > 0:
                piece = kept.read(min(start, _PIECE))
                start -= len(piece)
                yield piece
            yield new
            kept.seek(end)
        while piece := kept.read(_PIECE):
            yield piece
    async for chunk in rest:
        yield chunk
