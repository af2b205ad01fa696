"""WebSockets through ordinary routes: plugins decide who may open one, then every message is passed on, both ways.

A route lets sockets in with `enable_websocket`. What no such route is for goes on to the gate's own sockets.
"""

import asyncio
from collections.abc import Callable

from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Duplex
from tollkeeper.routes.authentication import TOLD
from tollkeeper.routes.exchange import Exchange, Request
from tollkeeper.routes.headers import Headers
from tollkeeper.routes.pipeline import Outgoing, Pipeline
from tollkeeper.server.bodies import Message, Receive
from tollkeeper.server.door import Send, Sockets
from tollkeeper.server.routed import normalised, query_of
from tollkeeper.server.websocket import DENIAL, STOPPING

_NOBODY = ("", 0)
_NO_STATUS = 1005
_ABNORMAL = 1006
_POLICY = 1008
_INTERNAL = 1011


class RoutedSockets:
    """A `door.Sockets`."""

    def __init__(self, pipeline: Pipeline, rest: Sockets, new_id: Callable[[], str], monotonic: Clock) -> None:
        self._pipeline = pipeline
        self._rest = rest
        self._new_id = new_id
        self._monotonic = monotonic

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3, WebSockets only."""
        table = self._pipeline.table
        if table.empty:
            await self._rest(scope, receive, send)
            return
        exchange = self._exchange(scope)
        try:
            found = table.match(exchange)
        except CallerError:  # its rules cannot be compared with this
            await receive()
            await send({"type": "websocket.close", "code": _POLICY})
            return
        if not found or exchange.route is None or not exchange.route.websocket:
            await self._rest(scope, receive, send)
            return
        await receive()
        outgoing, socket, ended = await self._pipeline.open(exchange)
        if outgoing is not None:
            await _deny(scope, send, outgoing, exchange)
            return
        assert socket is not None
        try:
            await send({"type": "websocket.accept", "subprotocol": socket.subprotocol})
            await _relay(scope, receive, send, socket)
        finally:
            socket.close()
            ended()

    def _exchange(self, scope: Message) -> Exchange:
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        asked = Request(
            method="GET",
            path=normalised(raw.partition(b"?")[0]),
            query=query_of(scope["query_string"]),
            headers=Headers([header for header in scope["headers"] if header[0] not in TOLD]),
            client=scope.get("client") or _NOBODY,
            server=scope.get("server") or _NOBODY,
            scheme="http",
            length=0,
        )
        return Exchange(asked, self._new_id(), self._monotonic())


async def _relay(scope: Message, receive: Receive, send: Send, socket: Duplex) -> None:
    """Until either side has ended; the other is told with the same code."""

    async def from_client() -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if socket.blocked is not None:
                await socket.blocked
            text = message.get("text")
            if text is not None:
                socket.send(text.encode())
            else:
                socket.send_binary(message["bytes"])

    async def from_upstream() -> None:
        while (message := await socket.receive()) is not None:
            kind = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", kind: message})
        code, reason = socket.closed or (_ABNORMAL, "")
        await send({"type": "websocket.close", "code": _sendable(code), "reason": reason})

    stopping = (scope.get("extensions") or {}).get(STOPPING)
    if stopping is not None:
        stopping(socket.close)
    tasks = [asyncio.ensure_future(from_client()), asyncio.ensure_future(from_upstream())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _sendable(code: int) -> int:
    """Codes that only tell how a connection ended are never sent (RFC 6455, 7.4.1)."""
    return {_NO_STATUS: 1000, _ABNORMAL: _INTERNAL}.get(code, code)


async def _deny(scope: Message, send: Send, outgoing: Outgoing, exchange: Exchange) -> None:
    stream = outgoing.stream
    try:
        if stream is None:
            body = outgoing.whole()
        else:
            pieces = []
            while (piece := await outgoing.next_piece(stream)) is not None:
                pieces.append(piece)
            body = b"".join(pieces)
            outgoing.finished(None)
    except TollkeeperError as error:
        outgoing.finished(error)
        body = b""
    if DENIAL not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [header for header in outgoing.response.headers.items if header[0] != b"content-length"]
    headers.append((b"x-request-id", exchange.request_id.encode()))
    await send({"type": "websocket.http.response.start", "status": outgoing.response.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
