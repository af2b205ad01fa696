"""Plugins ask others' servers: one request, one whole answer, within a time and a size."""

import asyncio
from collections.abc import Sequence

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.ports import Headers, Outbound


async def ask(
    outbound: Outbound,
    method: str,
    url: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    *,
    seconds: float = 3.0,
    most: int = 1024 * 1024,
) -> tuple[int, Headers, bytes]:
    """Status, headers and body. Raises UpstreamError where there is no whole answer of at most `most` bytes in time."""
    patience = Patience(connect=seconds, first_byte=seconds, idle=seconds, total=seconds)
    try:
        async with asyncio.timeout(seconds):
            sent = await outbound.send(method.encode("ascii"), url, headers, body, patience)
            try:
                await sent.head()
                found, whole = await sent.read(most)
            except BaseException:
                sent.close()
                raise
    except TimeoutError:
        raise UpstreamError("There was no answer in time.", status=504, code="upstream_timeout") from None
    if not whole:
        sent.close()
        raise UpstreamError(f"The answer exceeds {most} bytes.", code="upstream_bad_answer")
    return sent.status, sent.headers, found
