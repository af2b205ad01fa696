"""Pours a reply through plain ASGI messages, for servers that are not our own door."""

import asyncio
from collections.abc import Awaitable, Callable

from tollkeeper.core.call import Presence, Sink
from tollkeeper.server.bodies import Message, Receive

_HIGH_WATER = 64 * 1024


class Pieces:
    """A `core.call.Sink` that keeps pieces until they are sent."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.ended = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._room: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        self.arrived.set()

    @property
    def blocked(self) -> Awaitable[None] | None:
        if self._size < _HIGH_WATER:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self.arrived.clear()
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
        return data


async def pour_over_asgi(
    pour: Callable[[Sink], Awaitable[None]],
    receive: Receive,
    send: Callable[[Message], Awaitable[None]],
    presence: Presence,
) -> None:
    """Sends the pieces as they come, without the last, empty body message. Raises what `pour` raises, after them."""
    pieces = Pieces()
    watching = asyncio.ensure_future(_watch(receive, presence))
    pouring = asyncio.ensure_future(pour(pieces))
    pouring.add_done_callback(lambda _: pieces.arrived.set())
    try:
        while not pouring.done() or pieces.arrived.is_set():
            await pieces.arrived.wait()
            data = pieces.take()
            if data and not presence.gone:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await pouring
    finally:
        watching.cancel()
        pouring.cancel()


async def _watch(receive: Receive, presence: Presence) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            presence.leave()
            return
