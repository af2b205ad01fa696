"""The outbound client, used as the flow uses it, and raw answers for a scripted upstream."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from kit.scripted import Connection, Request
from tollkeeper.core.account import Patience
from tollkeeper.core.ports import Sent
from tollkeeper.upstream.client import HttpClient

BRIEF = Patience(connect=20.0, first_byte=0.4, idle=0.4, total=30.0)
"""Short times for what a test waits for; long ones for what a busy machine may take."""


@contextlib.asynccontextmanager
async def http_client(**options: Any) -> AsyncIterator[HttpClient]:
    """A client for the time of a `with`."""
    client = HttpClient(time.monotonic, **options)
    try:
        yield client
    finally:
        await client.close()


async def get(client: HttpClient, url: str, timeouts: Patience = BRIEF) -> Sent:
    """A GET whose answer's head is there."""
    answer = await client.send(b"GET", url, [(b"accept", b"*/*")], b"", timeouts)
    await answer.head()
    return answer


async def body(answer: Sent) -> bytes:
    """The whole body."""
    data, whole = await answer.read(1 << 30)
    assert whole
    return data


async def fetch(client: HttpClient, url: str, timeouts: Patience = BRIEF) -> tuple[int, bytes]:
    """Status and body of a GET."""
    answer = await get(client, url, timeouts)
    return answer.status, await body(answer)


def run(test: Callable[[HttpClient], Awaitable[None]], seconds: float = 40, **options: Any) -> None:
    """Runs a test that needs a client and ends in time."""

    async def go() -> None:
        async with http_client(**options) as client:
            await asyncio.wait_for(test(client), seconds)

    asyncio.run(go())


def raw(data: bytes, then: str = "keep") -> Callable[[Request, Connection], bool]:
    """A script that sends these very bytes, and then keeps, closes or resets the connection, or falls silent."""

    def script(request: Request, connection: Connection) -> bool:
        connection.send(data)
        if then == "reset":
            time.sleep(0.05)  # so that the bytes are there before the reset is
            connection.reset()
        elif then == "silent":
            connection.wait_for_peer_to_close(10)
        return then == "keep"

    return script


def answered(content: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer with content-length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(content)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content
