"""A client's WebSocket, for uvicorn: takes a connection over from its HTTP protocol and gives the app ASGI's messages.

Ours for the reasons of protocol.py: bounds on messages, frames and times hold before anybody is woken, and an idle
socket costs a few kilobytes. Times are looked after by the listener's one sweep a second.

Rule 1: what the app has not taken stops the reading, what the client has not taken stops the app: neither piles up.
Rule 2: messages sent in one turn of the loop leave in one write.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from uvicorn.server import ServerState

from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.limits import SocketLimits
from tollkeeper.server.exchange import STATUS_LINES
from tollkeeper.wire import websocket
from tollkeeper.wire.websocket import Channel, Message

SINK = "tollkeeper.sink"
STOPPING = "tollkeeper.stopping"
"""ASGI extensions: `sink()` gives a `core.call.Sink` whose every write is one text message; `stopping(callback)` calls
back when the port closes: the app ends what it has begun, and then the socket."""
DENIAL = "websocket.http.response"
"""https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response"""

_HIGH_WATER = 64 * 1024
_AT_ONCE = 16 * 1024
"""Bytes that are written without waiting for the loop's turn."""
_EACH = 64
"""Bytes that a waiting message counts for beside its own."""
LINGER = 2.0
"""Seconds that a client has to take our last words before the connection is ended."""


class WebSocketConnection(asyncio.Protocol):
    """One connection, from its opening request on. `begin` starts the app."""

    __slots__ = (
        "_accept",
        "_app",
        "_arrived",
        "_arrived_bytes",
        "_awaiting_pong",
        "_channel",
        "_closing_at",
        "_counted",
        "_counted_since",
        "_denied",
        "_flushing",
        "_limits",
        "_on_stop",
        "_pinged_at",
        "_reading_paused",
        "_refused",
        "_told",
        "_transport",
        "_unsent",
        "_waiter",
        "_waiting",
        "_waiting_since",
        "blocked",
        "loop",
        "scope",
        "server_state",
    )

    def __init__(
        self,
        app: Any,
        scope: dict[str, Any],
        accept: bytes,
        transport: asyncio.Transport,
        server_state: ServerState,
        loop: asyncio.AbstractEventLoop,
        limits: SocketLimits,
    ) -> None:
        self.loop = loop
        self.scope = scope
        self.server_state = server_state
        self.blocked: asyncio.Future[None] | None = None
        """Not done while the client is slow to take what was written."""
        self._app = app
        self._accept: bytes | None = accept
        """Sec-WebSocket-Accept, until it was sent."""
        self._transport = transport
        self._limits = limits
        self._channel = Channel(largest=limits.message)
        self._arrived: deque[Message] = deque()
        self._arrived_bytes = 0
        self._told = 0
        """0: the app has not been told of the connection, 1: it has, 2: also of its end."""
        self._refused = False
        """Whether an ordinary answer was given in its place."""
        self._denied: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._on_stop: Callable[[], None] | None = None
        self._reading_paused = False
        self._flushing = False
        self._unsent = 0
        self._awaiting_pong = False
        self._pinged_at = loop.time()
        self._closing_at = 0.0
        self._counted = 0
        self._counted_since = self._pinged_at
        self._waiting = 0
        self._waiting_since = 0.0
        scope["extensions"] = {SINK: self._sink, STOPPING: self._stopping, DENIAL: {}}

    def begin(self, early: bytes) -> None:
        """The transport is ours. `early` are bytes that came with the opening request."""
        self.server_state.connections.add(self)  # type: ignore[arg-type]
        task = self.loop.create_task(self._run())
        self.server_state.tasks.add(task)
        task.add_done_callback(self.server_state.tasks.discard)
        if early:
            self.data_received(early)

    async def _run(self) -> None:
        try:
            await self._app(self.scope, self.receive, self.send)
        except Exception:  # the app renders every error that can be rendered; what comes out cannot be
            self._close(websocket.INTERNAL, "")
        else:
            self._close(websocket.NORMAL, "")
        finally:
            self.scope = {}  # its extensions refer back to us

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        channel = self._channel
        before = channel.frames
        messages = channel.feed(data)
        if channel.frames != before:
            self._awaiting_pong = False  # whatever comes shows that somebody is there
            self._count(channel.frames - before)
        if messages and not self._closing_at:
            self._arrived += messages
            self._arrived_bytes += sum([len(message) + _EACH for message in messages])
            if self._arrived_bytes >= _HIGH_WATER:
                self._pause_reading()
            self._wake()
        self._flush()

    def _count(self, frames: int) -> None:
        """Pings, empty messages and one-byte fragments cost us more than whoever sends them."""
        self._counted += frames
        most = self._limits.frames
        if self._counted > most:
            now = self.loop.time()
            if self._counted > most * max(1.0, now - self._counted_since):
                self._channel.fail(websocket.POLICY, f"More than {most} frames a second.")
            self._counted, self._counted_since = 0, now

    def eof_received(self) -> bool:
        self._channel.end()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        self._channel.end()
        self._channel.take()
        self._closing_at = self._closing_at or self.loop.time()
        self.resume_writing()
        self._on_stop = None
        self._wake()

    def pause_writing(self) -> None:
        if self.blocked is None:
            self.blocked = self.loop.create_future()
            self._waiting_since = self.loop.time()
            self._pause_reading()  # pings of a client who does not read: their pongs must not pile up

    def resume_writing(self) -> None:
        blocked, self.blocked = self.blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)
        self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._closing_at:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._arrived_bytes < _HIGH_WATER and (self.blocked is None or self._closing_at):
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """One text message, as UTF-8. Part of `core.call.Sink`."""
        if self._closing_at:
            return
        self._channel.text(data)
        self._unsent += len(data) + _EACH
        if (
            self._unsent > _AT_ONCE
        ):  # many pieces may come before the loop turns; the transport must know to say: enough
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._unsent = 0
        channel = self._channel
        data = channel.take()
        if self._refused:
            return  # its last word was said, and it was no frame
        if data and self._accept is None and not self._transport.is_closing():
            self._transport.write(data)
        if not channel.open and not self._closing_at:
            self._closing_at = self.loop.time()
            self._arrived.clear()
            self._arrived_bytes = 0
            self._wake()
            self._resume_reading()
        if channel.over and not self._transport.is_closing():
            # Half closed: the client can read why, before it learns that nobody reads what it still sends.
            self._transport.write_eof()

    def _close(self, code: int, reason: str) -> None:
        if self._accept is not None:
            self._deny(403, [], b"")
        elif self._channel.open:
            self._channel.close(code, reason)
            self._flush()

    # --- ASGI -------------------------------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """websocket.connect, then each message, then websocket.disconnect."""
        if self._told == 0:
            self._told = 1
            return {"type": "websocket.connect"}
        while True:
            if self._arrived:
                message = self._arrived.popleft()
                self._arrived_bytes -= len(message) + _EACH
                self._resume_reading()
                kind = "text" if isinstance(message, str) else "bytes"
                return {"type": "websocket.receive", kind: message}
            if self._closing_at or self._told == 2:
                self._told = 2
                code, reason = self._channel.closed or (websocket.ABNORMAL, "")
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._waiter = self.loop.create_future()
            await self._waiter

    async def send(self, message: dict[str, Any]) -> None:
        """Writes; waits while the client is slow to take what was written."""
        kind = message["type"]
        if kind == "websocket.send":
            if self.blocked is not None and not self._closing_at:
                await self.blocked
            if self._closing_at:
                return
            text = message.get("text")
            if text is not None:
                self.write(text.encode())
            else:
                self._channel.binary(message["bytes"])
                self._flush()
        elif kind == "websocket.accept":
            self._open(message.get("subprotocol"), message.get("headers") or [])
        elif kind == "websocket.close":
            self._close(message.get("code", websocket.NORMAL), message.get("reason") or "")
        elif kind == "websocket.http.response.start":
            self._denied = (message["status"], list(message["headers"]))
        elif kind == "websocket.http.response.body" and self._denied is not None:
            self._deny(*self._denied, message.get("body", b""))

    def _open(self, subprotocol: str | None, headers: list[tuple[bytes, bytes]]) -> None:
        if self._accept is None or self._closing_at:
            return
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ",
            self._accept,
            b"\r\n",
        ]
        if subprotocol is not None:
            headers = [*headers, (b"sec-websocket-protocol", subprotocol.encode("ascii"))]
        lines += [b"%b: %b\r\n" % header for header in headers]
        self._accept = None
        self._transport.write(b"".join([*lines, b"\r\n"]))
        self._flush()

    def _deny(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """An ordinary answer in the place of a WebSocket; the connection ends after it."""
        if self._accept is None or self._transport.is_closing():
            return
        self._accept = None
        self._refused = True
        self._closing_at = self.loop.time()
        head = b"".join([STATUS_LINES[status], b"\r\n", *[b"%b: %b\r\n" % header for header in headers]])
        self._transport.write(b"%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (head, len(body), body))
        self._transport.write_eof()

    # --- extensions -------------------------------------------------------------------------------------------------

    def _sink(self) -> "WebSocketConnection":
        if self._accept is not None:
            raise GateError("Nothing can be sent before the socket is accepted.", code="internal_error")
        return self

    def _stopping(self, callback: Callable[[], None]) -> None:
        self._on_stop = callback

    # --- for the listener -------------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Called about once a second."""
        limits = self._limits
        if self._closing_at:
            if now - self._closing_at > (LINGER if self._channel.over else limits.pong_seconds):
                self._transport.abort()
        elif self.blocked is not None:
            waiting = self._transport.get_write_buffer_size()
            if waiting != self._waiting:
                self._waiting, self._waiting_since = waiting, now
            elif now - self._waiting_since > limits.write_seconds:
                self._transport.abort()
        elif self._accept is None:
            self._look_for_life(now, limits)

    def _look_for_life(self, now: float, limits: SocketLimits) -> None:
        waited = now - self._pinged_at
        if self._reading_paused:
            self._pinged_at = now  # it is we who do not listen
        elif self._awaiting_pong:
            if waited > limits.pong_seconds:
                self._channel.fail(websocket.INTERNAL, "No answer to a ping.")
                self._flush()
        elif waited >= limits.ping_seconds:
            self._pinged_at = now
            self._awaiting_pong = True
            self._channel.ping()
            self._flush()

    def shutdown(self) -> None:
        """The port closes."""
        callback, self._on_stop = self._on_stop, None
        if callback is not None:
            callback()
        elif self._accept is None:
            self._close(websocket.GOING_AWAY, "The gate is shutting down.")


def as_websocket(scope: dict[str, Any]) -> bytes:
    """Makes the scope of a request for an upgrade one of a WebSocket; returns its Sec-WebSocket-Accept.

    Raises CallerError (400, 426) where it opens none.
    """
    named = dict(scope["headers"])
    try:
        accept = websocket.accepted(named)
    except websocket.BadHandshake as error:
        bad = CallerError(f"This opens no WebSocket: {error}", code="invalid_handshake")
        if named.get(b"sec-websocket-version") != b"13":
            bad.status, bad.headers = 426, ((b"sec-websocket-version", b"13"), (b"upgrade", b"websocket"))
        raise bad from None
    offered = named.get(b"sec-websocket-protocol", b"").decode("latin-1")
    del scope["method"]
    scope |= {
        "type": "websocket",
        "scheme": "ws",
        "subprotocols": [name.strip() for name in offered.split(",") if name.strip()],
    }
    return accept
