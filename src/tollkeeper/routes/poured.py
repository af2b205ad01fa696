"""An answer that is poured into a sink, taken piece by piece, as fast as it is wanted."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from tollkeeper.core.errors import UpstreamError


class Poured:
    """Pieces that are poured, taken one by one. Implements `Stream` and `core.call.Sink`."""

    def __init__(self, pour: Callable[[Any], Awaitable[None]]) -> None:
        self._pieces: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._size = 0
        self._task = asyncio.ensure_future(pour(self))
        self._task.add_done_callback(lambda _: self._wake())

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        self._wake()

    @property
    def blocked(self) -> Awaitable[None] | None:
        if self._size < 64 * 1024:
            return None
        self._room = asyncio.get_running_loop().create_future()
        return self._room

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        """Raises what broke the pouring off."""
        while not self._pieces:
            if self._task.done():
                error = None if self._task.cancelled() else self._task.exception()
                if self._task.cancelled():
                    raise UpstreamError("The answer broke off.", code="upstream_cut")
                if error is not None:
                    raise error
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(timeout):
                await self._waiting
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return data

    def close(self) -> None:
        self._task.cancel()
