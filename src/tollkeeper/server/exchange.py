"""One request and its answer on a connection: ASGI's receive and send.

The answer's head is written together with its first body bytes: one write to the socket for an ordinary answer.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tollkeeper.core.errors import GateError
from tollkeeper.core.remembered import Remembered

if TYPE_CHECKING:
    from tollkeeper.server.protocol import DoorProtocol

_HIGH_WATER = 64 * 1024
STATUS_LINES = {status.value: b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in HTTPStatus}
_line = b": ".join
_chunk_head = Remembered[int, bytes](lambda size: b"%x\r\n" % size)
"""Of a chunk of that many bytes. A stream's events are much alike."""
_LF, _CR = b"\n\r"  # numbers, which are looked for in bytes several times as fast as bytes are
_DISCONNECT = {"type": "http.disconnect"}


class Exchange:
    """Made when a request's headers are complete."""

    __slots__ = (
        "_arrived",
        "_arrived_bytes",
        "_chunked",
        "_connection",
        "_head",
        "_left",
        "_waiter",
        "complete",
        "disconnected",
        "expects_continue",
        "keep_alive",
        "more_body",
        "scope",
        "started",
        "task",
        "until_close",
    )

    def __init__(
        self, connection: "DoorProtocol", scope: dict[str, Any], keep_alive: bool, expects_continue: bool
    ) -> None:
        self._connection = connection
        self._arrived: list[bytes] = []
        self._arrived_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        self._chunked = False
        self._left: int | None = None
        self.scope = scope
        self.keep_alive = keep_alive
        self.expects_continue = expects_continue
        self.more_body = True
        self.disconnected = False
        self.started = False
        self.complete = False
        self.until_close = False
        """Whether nothing but the connection's end says where the body ends: HTTP/1.0 knows no chunks."""
        self.task: asyncio.Task[None] | None = None
        """Answers it. Referred to until it has."""

    # --- from the connection ----------------------------------------------------------------------------------------

    def body_arrived(self, data: bytes) -> bool:
        """False when so much waits here that the connection should stop reading."""
        self._arrived.append(data)
        self._arrived_bytes += len(data)
        self._wake()
        return self._arrived_bytes < _HIGH_WATER

    def body_ended(self) -> None:
        self.more_body = False
        self._wake()

    def disconnect(self) -> None:
        """The client is gone, or has been refused."""
        self.disconnected = True
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- ASGI -------------------------------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """The next piece of the body; once it was received whole, waits for the client's leaving."""
        connection = self._connection
        if self.expects_continue:
            self.expects_continue = False
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            if self.disconnected or self.complete:
                return _DISCONNECT
            if self._arrived or (not self.more_body and self._arrived_bytes >= 0):
                body = self._arrived[0] if len(self._arrived) == 1 else b"".join(self._arrived)
                self._arrived.clear()
                self._arrived_bytes = 0 if self.more_body else -1
                connection.resume_reading()
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            connection.resume_reading()
            self._waiter = connection.loop.create_future()
            await self._waiter

    async def send(self, message: dict[str, Any]) -> None:
        """Writes; waits while the client is slow to take what was written."""
        connection = self._connection
        if connection.blocked is not None and not self.disconnected:
            await connection.blocked
        if self.disconnected:
            return
        if not self.started:
            self.started = True
            self._head = self._render_head(message)
            return
        if self.complete:
            raise GateError("An answer was continued after its end.", code="internal_error")
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        head, self._head = self._head, None
        parts = [] if head is None else [head]
        if self.scope["method"] == "HEAD":
            self._left = None
        elif self._chunked:
            if body:
                parts += (_chunk_head[len(body)], body, b"\r\n")
            if not more:
                parts.append(b"0\r\n\r\n")
        else:
            parts.append(body)
            if self._left is not None:
                self._left -= len(body)
                if self._left < 0 or (self._left and not more):
                    connection.abort()
                    raise GateError("An answer is not as long as it said.", code="internal_error")
        if parts:
            connection.write(parts[0] if len(parts) == 1 else b"".join(parts))
        if not more:
            self.complete = True
            connection.answered(self)

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Start and body of a whole answer at once, whose headers say its length where it has one."""
        connection = self._connection
        if connection.blocked is not None and not self.disconnected:
            await connection.blocked
        if self.disconnected:
            return
        self.started = True
        head = self._head_of(status, headers)
        connection.write(head if self.scope["method"] == "HEAD" else head + body)
        self.complete = True
        connection.answered(self)

    # --- core.call.Sink ---------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> "asyncio.Future[None] | None":
        return None if self.disconnected else self._connection.blocked

    def write(self, data: bytes) -> None:
        """A piece of an answer whose head was sent, without an ASGI message for it."""
        if self.disconnected or not data:
            return
        if self._chunked:
            data = b"".join((_chunk_head[len(data)], data, b"\r\n"))
        elif self._left is not None:
            self._left -= len(data)
        if self._head is not None:
            data = self._head + data
            self._head = None
        self._connection.write(data)

    def _render_head(self, message: dict[str, Any]) -> bytes:
        status: int = message["status"]
        self._chunked = self.scope["method"] != "HEAD" and status not in (204, 304)
        for name, value in message["headers"]:
            if name == b"content-length":
                self._left = int(value)
                self._chunked = False
        if self._chunked and self.scope["http_version"] == "1.0":
            self._chunked, self.until_close = False, True
        return self._head_of(status, message["headers"], (b"transfer-encoding: chunked",) if self._chunked else ())

    def _head_of(self, status: int, headers: list[tuple[bytes, bytes]], more: tuple[bytes, ...] = ()) -> bytes:
        """`more` are lines of ours."""
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status]
        lines += map(_line, self._connection.server_state.default_headers)
        lines += map(_line, headers)
        lines += more
        if not self.keep_alive:
            lines.append(b"connection: close")
        ends = len(lines) + 1
        lines += (b"", b"")
        head = b"\r\n".join(lines)
        if head.count(_LF) != ends or head.count(_CR) != ends:
            raise GateError("A header has a line break in it.", code="internal_error")
        return head
