"""The gate's door for WebSockets: who may open one, in which format, and its messages to and from a session.

Plain ASGI, so that it runs under any ASGI server; two extensions of our own make it cheaper at ours: see websocket.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from tollkeeper.core.call import Sink
from tollkeeper.core.errors import CallerError, TollkeeperError, invalid_key
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Keys, Tickets
from tollkeeper.dialects import openai_errors
from tollkeeper.server.bodies import Message, Receive
from tollkeeper.server.requests import key_of
from tollkeeper.server.websocket import SINK, STOPPING
from tollkeeper.sockets.admission import GOING_AWAY, Close
from tollkeeper.sockets.lobby import Lobby
from tollkeeper.sockets.options import Format
from tollkeeper.sockets.session import Session as Conversation

Send = Callable[[Message], Awaitable[None]]
FORMATS: Mapping[str, Format] = {"tollkeeper.v1.json": "json", "tollkeeper.v1.text": "text"}
"""By subprotocol."""
KEY_PREFIXES = ("tollkeeper.key.", "openai-insecure-api-key.")
"""A subprotocol that is a key: browsers can set no header (https://platform.openai.com/docs/guides/realtime-websocket)."""
KEY = "tollkeeper.key"
"""Under which a scope has the key that opened it, for whoever runs the door."""
_HIGH_WATER = 64 * 1024


class Session(Protocol):
    """What a socket's messages are given to."""

    @property
    def busy(self) -> bool: ...

    def take(self, message: str | bytes) -> Awaitable[None] | None:
        """One message; to be awaited before the next is given, where it is not None. Never raises."""
        ...

    def leave(self) -> None:
        """The client is gone."""
        ...

    def stop(self) -> None:
        """The gate is being stopped."""
        ...

    async def ended(self) -> None:
        """Waits for what is under way."""
        ...


Begin = Callable[[Sink, Close], Session]


class Opening(Protocol):
    """What stands at a path."""

    async def __call__(self, asked: "Asked") -> tuple[Begin, str | None]:
        """What begins the session once the socket is open, and the subprotocol. Raises TollkeeperError."""
        ...


class Asked:
    """A request to open a socket, by somebody who may."""

    __slots__ = ("headers", "key", "named", "query", "scope", "subprotocols")

    def __init__(self, scope: Message, key: Key, named: Mapping[bytes, bytes], subprotocols: list[str]) -> None:
        self.scope = scope
        self.key = key
        self.named = named
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.query: dict[str, list[str]] = parse_qs(scope["query_string"].decode("latin-1"))
        self.subprotocols = subprotocols
        """Those that are no key."""


class Sockets:
    """What the gate answers WebSocket scopes with."""

    def __init__(self, lobby: Lobby, keys: Keys, tickets: Tickets, endpoints: Mapping[str, Opening]) -> None:
        self._lobby = lobby
        self._keys = keys
        self._tickets = tickets
        self._endpoints = endpoints

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3, WebSockets only."""
        await receive()
        named = dict(scope["headers"])
        try:
            opening = self._opening(scope)
            check_origin(named, self._lobby.options.origins)
            key, subprotocols = await self._key(scope, named)
            scope[KEY] = key
            self._lobby.caps.enter(key)
        except TollkeeperError as error:
            await deny(scope, send, error, self._lobby.new_id())
            return
        try:
            begin, chosen = await opening(Asked(scope, key, named, subprotocols))
            await self._converse(scope, receive, send, begin, chosen)
        except TollkeeperError as error:
            await deny(scope, send, error, self._lobby.new_id())
        finally:
            self._lobby.caps.leave(key)

    def _opening(self, scope: Message) -> Opening:
        options, path = self._lobby.options, scope["path"]
        if options.enabled:
            if path == options.path:
                return self._conversation
            for before in ("/openai/v1/", "/v1/", "/"):
                if path.startswith(before) and path.removeprefix(before) in self._endpoints:
                    return self._endpoints[path.removeprefix(before)]
        raise CallerError(f"There is no WebSocket at {path[:64]}.", status=404, code="not_found")

    async def _key(self, scope: Message, named: Mapping[bytes, bytes]) -> tuple[Key, list[str]]:
        """Who opens it, and the subprotocols that are no key. Raises CallerError (401)."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        offered: list[str] = scope["subprotocols"]
        secrets = [(name, prefix) for name in offered for prefix in KEY_PREFIXES if name.startswith(prefix)]
        left = [name for name in offered if not name.startswith(KEY_PREFIXES)]
        if "ticket" in query:
            key = await self._tickets.redeem(query["ticket"][0])
            key = None if key is None else self._lobby.current(key)
        elif secrets:
            name, prefix = secrets[0]
            key = self._keys.find(name.removeprefix(prefix).encode())
        else:
            return key_of(named, self._keys), left
        if key is None:
            raise invalid_key()
        return key, left

    async def _conversation(self, asked: Asked) -> tuple[Begin, str | None]:
        format, chosen = self._format(asked)
        return lambda sink, close: Conversation(self._lobby, asked.key, format, sink, close), chosen

    def _format(self, asked: Asked) -> tuple[Format, str | None]:
        """The format, and the subprotocol to be agreed on."""
        for name in asked.subprotocols:
            if name in FORMATS:
                return FORMATS[name], name
        given = asked.query.get("format")
        if given is None:
            return self._lobby.options.format, None
        if given[0] not in FORMATS.values():
            raise CallerError("The format is json or text.", code="invalid_value", param="format")
        return ("json" if given[0] == "json" else "text"), None

    async def _converse(self, scope: Message, receive: Receive, send: Send, begin: Begin, chosen: str | None) -> None:
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": []})
        extensions: Mapping[str, Any] = scope.get("extensions") or {}
        outbox = None if SINK in extensions else Outbox(send)
        closing: list[asyncio.Task[None]] = []

        def close(code: int, reason: str) -> None:
            message = {"type": "websocket.close", "code": code, "reason": reason}
            if outbox is not None:
                outbox.close(message)
            elif not closing:
                closing.append(asyncio.ensure_future(send(message)))

        sink: Sink = extensions[SINK]() if outbox is None else outbox
        session = begin(sink, close)
        if STOPPING in extensions:
            extensions[STOPPING](session.stop)
        try:
            await self._listen(receive, session, close, sink)
        finally:
            session.leave()
            try:
                await session.ended()
            finally:
                if outbox is not None:
                    await outbox.end()

    async def _listen(self, receive: Receive, session: Session, close: Close, sink: Sink) -> None:
        """Until the client is gone."""
        while True:
            if sink.blocked is not None:
                await sink.blocked  # who does not read his answers is not listened to either
            idle = self._lobby.options.limits.idle_seconds
            try:
                async with asyncio.timeout(idle):
                    message = await receive()
            except TimeoutError:
                if not session.busy:
                    close(GOING_AWAY, f"Nothing was said for {idle:g} s.")
                continue
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            full = session.take(text if text is not None else message["bytes"])
            if full is not None:
                await full


class Outbox:
    """A `core.call.Sink` over plain ASGI messages, for servers that are not our own door."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[Message] = []
        self._size = 0
        self._arrived = asyncio.Event()
        self._room: asyncio.Future[None] | None = None
        self._closed = False
        self._task = asyncio.ensure_future(self._work())

    @property
    def blocked(self) -> Awaitable[None] | None:
        if self._size < _HIGH_WATER or self._task.done():
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    def write(self, data: bytes) -> None:
        """One text message."""
        self._size += len(data)
        self._put({"type": "websocket.send", "text": data.decode()})

    def close(self, message: Message) -> None:
        """The last message."""
        self._put(message)
        self._closed = True

    def _put(self, message: Message) -> None:
        if not self._closed and not self._task.done():
            self._waiting.append(message)
            self._arrived.set()

    async def end(self) -> None:
        """Nobody listens any more."""
        self._task.cancel()
        self._let_on()
        await asyncio.wait([self._task])

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            waiting, self._waiting = self._waiting, []
            self._size = 0
            for message in waiting:
                try:
                    await self._send(message)
                except (OSError, RuntimeError):  # how servers tell that the client is gone
                    self._let_on()
                    return
            self._let_on()

    def _let_on(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)


def check_origin(named: Mapping[bytes, bytes], allowed: list[str]) -> None:
    """A page of another site opens no socket in its visitor's name unless it is named. Raises CallerError (403)."""
    origin = named.get(b"origin")
    if origin is None or "*" in allowed:
        return
    text = origin.decode("latin-1").lower()
    if text in [each.lower().rstrip("/") for each in allowed]:
        return
    if urlsplit(text).netloc == named.get(b"host", b"").decode("latin-1").lower() != "":
        return
    raise CallerError("This page's origin may not open a WebSocket here.", status=403, code="origin_not_allowed")


async def deny(scope: Message, send: Send, error: TollkeeperError, request_id: str) -> None:
    """An ordinary error answer in the place of a WebSocket, where the server can give one."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.message})
        return
    headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode()), *error.headers]
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": openai_errors.body(error)})
