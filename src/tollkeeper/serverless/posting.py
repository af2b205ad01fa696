"""Sends to a client on API Gateway's WebSocket, which is a request for each message (`post_to_connection`).

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.ports import Outbound
from tollkeeper.stores.dynamodb.table import Place
from tollkeeper.wire import aws_signature

_GATHER = 0.004
"""Seconds in which what comes is sent together: each request costs money, and takes about as long."""
_LARGEST = 32 * 1024
"""Bytes of a frame (https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html)."""
_HIGH_WATER = 64 * 1024
_TRIES = 5
_FIRST_WAIT = 0.05
_PATIENCE = Patience(connect=2.0, first_byte=5.0, idle=5.0, total=10.0)
_GONE = 410


class Posting:
    """A `core.call.Sink`. `on_gone` is run once when the client turns out to have left."""

    def __init__(
        self, outbound: Outbound, place: Place, url: str, connection: str, whole: bool, on_gone: Callable[[], None]
    ) -> None:
        """`whole`: whether pieces are messages by themselves and not to be joined."""
        self._outbound = outbound
        self._place = place
        self._url = f"{url}/@connections/{quote(connection, safe='')}"
        self._whole = whole
        self._on_gone = on_gone
        self._pieces: list[bytes] = []
        self._size = 0
        self._arrived = asyncio.Event()
        self._room: asyncio.Future[None] | None = None
        self._ending = False
        self._gone = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    def write(self, data: bytes) -> None:
        if data and not self._gone:
            self._pieces.append(data)
            self._size += len(data)
            self._arrived.set()

    @property
    def blocked(self) -> Awaitable[None] | None:
        if self._size < _HIGH_WATER or self._gone:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    async def end(self) -> None:
        """Returns when all is sent, or nobody is there to get it."""
        self._ending = True
        self._arrived.set()
        await self._task

    async def _run(self) -> None:
        while not self._gone:
            await self._arrived.wait()
            if not self._pieces:
                if self._ending:
                    return
                self._arrived.clear()
                continue
            if not self._whole and not self._ending:
                await asyncio.sleep(_GATHER)
            pieces, self._pieces, self._size = self._pieces, [], 0
            self._arrived.clear()
            if self._ending:
                self._arrived.set()
            if self._room is not None and not self._room.done():
                self._room.set_result(None)
            self._room = None
            for message in pieces if self._whole else _joined(pieces):
                if not await self._post(message):
                    self._gone = True
                    self._pieces.clear()
                    self._on_gone()
                    return

    async def _post(self, message: bytes) -> bool:
        """False where nobody is there any more, or nothing gets there."""
        for tried in range(_TRIES):
            if tried:
                await asyncio.sleep(_FIRST_WAIT * 2 ** (tried - 1))
            place, media = self._place, [(b"content-type", b"application/octet-stream")]
            headers = aws_signature.signed(
                place.credentials(), place.region, "execute-api", self._url, media, message, time.time()
            )
            try:
                sent = await self._outbound.send(b"POST", self._url, headers, message, _PATIENCE)
                await sent.head()
                await sent.read(_LARGEST)
            except UpstreamError:
                continue
            if sent.status == 200:
                return True
            if sent.status == _GONE or (sent.status < 500 and sent.status != 429):
                return False
        return False


def _joined(pieces: list[bytes]) -> list[bytes]:
    """As few messages as can be, none larger than a frame; a character is never in two."""
    text = b"".join(pieces)
    messages: list[bytes] = []
    while text:
        end = len(text)
        if end > _LARGEST:
            end = _LARGEST
            while text[end] & 0xC0 == 0x80:  # the middle of a character
                end -= 1
        messages.append(text[:end])
        text = text[end:]
    return messages
