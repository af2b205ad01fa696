"""Bodies of requests to the operator port: bounded, JSON, of the shape that is wanted."""

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tollkeeper.core.errors import CallerError

if TYPE_CHECKING:  # the terminal's commands use the forms of keys without a server
    from starlette.requests import Request

T = TypeVar("T")
MOST_BYTES = 1_048_576


async def raw(request: "Request", most: int = MOST_BYTES) -> bytes:
    """The whole body. Raises CallerError (413)."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > most:
            raise CallerError(f"The body exceeds {most} bytes.", status=413, code="request_too_large")
    return bytes(received)


async def read(request: "Request", kind: type[T], called: str, most: int = MOST_BYTES) -> T:
    """The body as a `kind`. Raises CallerError (400, 413)."""
    body = await raw(request, most)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CallerError(f"The body is not {called}: {error}.", code="invalid_body") from None
