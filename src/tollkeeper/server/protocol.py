"""A client's HTTP/1.1 connection, for uvicorn: httptools reads, caps and deadlines hold, refusals speak the dialect.

Ours rather than uvicorn's own, which bounds neither a request's headers nor the time that they take (a trickled request
held a connection for minutes in xinference#5213) and costs a quarter of the gate's whole CPU for what no gate needs.
Deadlines are looked after by one sweep a second over all connections, so a request pays nothing for them.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from tollkeeper.core.errors import CallerError, GateError, TollkeeperError
from tollkeeper.core.limits import LEAST_CHUNK, DoorLimits, SocketLimits
from tollkeeper.core.remembered import Remembered
from tollkeeper.dialects import openai_errors
from tollkeeper.server import framing
from tollkeeper.server.exchange import STATUS_LINES, Exchange
from tollkeeper.server.websocket import WebSocketConnection, as_websocket

LEAVING = "tollkeeper.leaving"
ABORT = "tollkeeper.abort"
SINK = "tollkeeper.sink"
WHOLE = "tollkeeper.whole"
NAMED = "tollkeeper.named"
"""ASGI extensions: `leaving(callback)` calls back when the client's connection is lost; `abort()` ends it unfinished;
`sink()` gives a `core.call.Sink` for the answer's pieces once its head was sent; `whole(status, headers, body)` sends an
answer in one go, and is awaited. Beside them in the scope, `named` is the
headers by name; of several with one name, the last."""

MOST_DISCARDED = 16 * 1024 * 1024
LINGER = 2.0
UNSENT = 128 * 1024
"""Bytes of an answer that may wait in the kernel beside what is on its way. It asks for more when half of them are gone."""
MOST_LINGERING = 64
"""Connections beyond the most that are told so at one time; any more are closed without a word."""
_FULL = GateError(
    "This gate has as many connections as it can. Try again in a moment.",
    code="too_many_connections",
    headers=((b"retry-after", b"1"),),
)
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_HASH = ord("#")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is closed is reset
_TEXT = {b"GET": "GET", b"POST": "POST"}
_lowered = Remembered[bytes, bytes](bytes.lower)
"""Names of headers, each the same object every time: its hash is reckoned once."""


class DoorProtocol(asyncio.Protocol):
    """One connection. uvicorn makes it, and calls `shutdown` when the port closes."""

    limits: DoorLimits
    sockets: SocketLimits
    most: int
    """Connections open at one time; those beyond are told so and closed."""
    new_id: Callable[[], str]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.server_state = server_state
        self.blocked: asyncio.Future[None] | None = None
        """Not done while the client is slow to take what was written."""
        self._app: Any = config.loaded_app
        self._parser = self._new_parser()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._extensions = {LEAVING: self._leaving, ABORT: self.abort, SINK: self._sink, WHOLE: self._whole}
        self._current: Exchange | None = None
        """The exchange whose answer is under way."""
        self._newest: Exchange | None = None
        """The exchange whose request is being read."""
        self._pipeline: deque[Exchange] = deque()
        self._on_leave: Callable[[], None] | None = None
        self._reading_paused = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._read = 0
        """Bytes of what was read last."""
        self._head_bytes = 0
        """Bytes read since this request began, until its head is whole."""
        self._in_head = False
        self._in_body = False
        self._expects_continue = False
        self._upgrade: WebSocketConnection | None = None
        """What takes the connection over, once the request that asks for it has ended."""
        self._restated: bytes | None = None
        """The head of a request that offers HTTP/2, without the offer: the parser takes what follows for HTTP/2."""
        self._ended_one = False
        """Whether a request ended in what was just read: what follows it there was not counted from its beginning."""
        self._since = self.loop.time()
        """When what is now waited for began: a request, its headers' end, the next bytes of its body."""
        self._blocked_since = 0.0
        self._waiting = 0
        self._chunks = 0
        self._body_bytes = 0
        self._arrived = 0
        self._body_waited = 0.0
        self._looked_at = self._since
        self._refused_at = 0.0
        self._refusal: TollkeeperError | None = None
        self._discarded = 0
        self._stopping = False

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.server_state.connections.add(self)  # type: ignore[arg-type]
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Else the kernel takes megabytes that a slow client does not: memory, and no sign of whether it reads at all.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        self._server = _address(transport.get_extra_info("sockname"))
        self._client = _address(transport.get_extra_info("peername"))
        beyond = len(self.server_state.connections) - self.most
        if beyond > MOST_LINGERING:
            transport.abort()  # type: ignore[attr-defined]
        elif beyond > 0:
            self._write_refusal(_FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        self.resume_writing()
        for exchange in (self._current, self._newest, *self._pipeline):
            if exchange is not None and not exchange.complete:
                exchange.disconnect()
        # These refer back to us: a circle for each connection would be the collector's to find, headers and all.
        del self._parser
        self._extensions = {}
        self._newest = None
        self._pipeline.clear()
        callback, self._on_leave = self._on_leave, None
        if callback is not None:
            callback()

    def data_received(self, data: bytes) -> None:
        if self._refused_at or self._refusal is not None:
            return
        if not self._in_head:
            if not self._in_body:
                self._in_head = True
            self._since = self.loop.time()
        self._ended_one = False
        self._read = len(data)
        if self._in_head:
            self._head_bytes += self._read
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._upgraded(data[upgrade.args[0] :]):
                    return
        except httptools.HttpParserError as error:
            self._refuse(framing.reason(error))
        if self._in_head and not self._ended_one:
            # Nothing is handed to the callbacks before a header line is whole: endless lines are counted here.
            if self._head_bytes > self.limits.headers + self.limits.url + 1024:
                self._refuse(framing.too_many_headers(self.limits))
        elif self._in_body:
            # Chunk extensions and trailers without end are handed to nobody: they are counted here too.
            self._arrived += len(data)
            beside = self._arrived - self._body_bytes - 64 * self._chunks
            limits = self.limits
            if beside > 2 * (limits.headers + limits.url) or len(self._headers) > limits.header_count:
                self._refuse(framing.too_many_headers(limits))

    def _upgraded(self, rest: bytes) -> bool:
        """What follows the head of a request for another protocol. False where the connection is another's from here on."""
        while True:
            if self._upgrade is not None:
                self._hand_over(self._upgrade, rest)
                return False
            if self._restated is None:
                self._refuse(framing.no_upgrade())
                return True
            data, self._restated, self._parser = self._restated + rest, None, self._new_parser()
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
            else:
                return True

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # So that an answer to a first request can be sent before an invalid one behind it is refused.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self.blocked is None:
            self.blocked = self.loop.create_future()
            self._blocked_since = self.loop.time()

    def resume_writing(self) -> None:
        blocked, self.blocked = self.blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    # --- httptools callbacks ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = self._read
        self._url = b""
        self._headers = []
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self.limits.url:
            raise CallerError(f"The URL is longer than {self.limits.url} bytes.", status=414, code="url_too_long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((_lowered[name], value))

    def on_headers_complete(self) -> None:
        limits, headers = self.limits, self._headers
        self._headers = []  # a trailer is no header: nothing in it may change what was asked (RFC 9110, 6.5.1)
        if len(headers) > limits.header_count or (
            # Not added up where all that was read since the request began is less.
            self._head_bytes > limits.headers and sum(map(len, chain.from_iterable(headers))) > limits.headers
        ):
            raise framing.too_many_headers(limits)
        named = dict(headers)
        version = self._parser.get_http_version()
        method: bytes = self._parser.get_method()
        upgrades = self._parser.should_upgrade() and method != b"CONNECT"
        if upgrades and not self._is_websocket(method, headers, named):
            self._restated = framing.without_offer(b"%b %b HTTP/%b" % (method, self._url, version.encode()), headers)
            if self._restated is None:
                raise framing.no_upgrade()
            return
        self._in_head = False
        self._in_body = True
        self._head_bytes = 0
        self._chunks = self._body_bytes = self._arrived = 0
        self._body_waited = 0.0
        framing.check(version, headers, named)
        if b"connection" in named:
            headers, named = framing.without_this_hops(headers, named)
        if b"expect" in named:
            self._expects_continue = named[b"expect"].lower() == b"100-continue"
        if method == b"CONNECT":
            raise CallerError(
                "This is no forward proxy.", status=405, code="method_not_allowed", headers=((b"allow", b"GET, POST"),)
            )
        raw_path, _, query = self._url.partition(b"?")
        if not raw_path.startswith(b"/") or _HASH in self._url:
            raise framing.invalid("The request's target must be a path.")
        path = raw_path.decode("latin-1")
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": "http",
            "root_path": "",
            "method": _TEXT.get(method) or method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            NAMED: named,
            "extensions": self._extensions,
        }
        if upgrades:
            accept = as_websocket(scope)
            self._upgrade = WebSocketConnection(
                self._app, scope, accept, self._transport, self.server_state, self.loop, self.sockets
            )
            return
        keep_alive = version != "1.0" and self._parser.should_keep_alive() and not self._stopping
        exchange = Exchange(self, scope, keep_alive, self._expects_continue)
        self._newest = exchange
        if self._current is None:
            self._start(exchange)
        else:
            self._pipeline.append(exchange)
            self.pause_reading()

    def _is_websocket(self, method: bytes, headers: list[tuple[bytes, bytes]], named: dict[bytes, bytes]) -> bool:
        """Whether a WebSocket is asked for, by a request that has no body and waits for no other's answer."""
        asked = [value.lower() for name, value in headers if name == b"upgrade"]
        bare = not any(name in named for name in (b"content-length", b"transfer-encoding", b"expect"))
        return asked == [b"websocket"] and method == b"GET" and bare and self._current is None

    def _hand_over(self, connection: WebSocketConnection, early: bytes) -> None:
        self._upgrade = None
        transport = self._transport
        transport.set_protocol(connection)
        self.connection_lost(None)
        connection.begin(early)

    def on_chunk_header(self) -> None:
        self._chunks += 1
        if self._chunks > self.limits.tiny_chunks and self._body_bytes < self._chunks * LEAST_CHUNK:
            raise CallerError(
                f"The body's chunks have fewer than {LEAST_CHUNK} bytes on average.", status=400, code="tiny_chunks"
            )

    def on_body(self, body: bytes) -> None:
        exchange = self._newest
        assert exchange is not None
        self._body_bytes += len(body)
        if exchange.complete or exchange.disconnected:
            # An answer (a 413, a 401) went out before the body was read: the rest is thrown away, within reason, so that
            # the client gets to read the answer instead of a reset.
            self._discarded += len(body)
            if self._discarded > MOST_DISCARDED:
                self._transport.abort()
        elif not exchange.body_arrived(body):
            self.pause_reading()

    def on_message_complete(self) -> None:
        self._ended_one = True
        self._in_body = False
        if self._upgrade is not None or self._restated is not None:
            return
        self._discarded = 0
        if self._newest is not None:
            self._newest.body_ended()

    # --- for the exchange -------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._pipeline:
            self._reading_paused = False
            self._since = self.loop.time()
            self._transport.resume_reading()

    def answered(self, exchange: Exchange) -> None:
        """An answer is written: on to the next request."""
        self._on_leave = None
        self._current = None
        self.server_state.total_requests += 1
        if not exchange.keep_alive or self._stopping:
            self._transport.close()
            return
        self._since = self.loop.time()
        if self._pipeline:
            self._start(self._pipeline.popleft())
        elif self._refusal is not None:
            self._write_refusal(self._refusal)
            return
        self.resume_reading()

    def abort(self) -> None:
        """Ends an answer that broke off: what was written is flushed, the body's end is never sent."""
        if self._current is not None:
            if self._current.until_close:  # its end must not look like one
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._current.disconnect()
        self._transport.close()

    def _leaving(self, callback: Callable[[], None]) -> None:
        self._on_leave = callback
        if self._transport.is_closing():
            self._on_leave = None
            callback()

    def _sink(self) -> Exchange:
        assert self._current is not None
        return self._current

    def _whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Awaitable[None]:
        assert self._current is not None
        return self._current.answer(status, headers, body)

    def _start(self, exchange: Exchange) -> None:
        self._current = exchange
        exchange.task = self.loop.create_task(self._run(exchange))
        self.server_state.tasks.add(exchange.task)

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception:  # the app renders every error that can be rendered; what comes out cannot be
            self.abort()
        except asyncio.CancelledError:
            if not self._stopping:  # the gate's own end closes the connection, once it is recorded that it was the gate
                self.abort()  # else the client would wait for the rest of its answer
            raise
        else:
            if not exchange.complete and not exchange.disconnected:
                self.abort()
        finally:  # a callback of the task's would be another turn of the loop for each request
            if exchange.task is not None:
                self.server_state.tasks.discard(exchange.task)
                exchange.task = None
        if exchange.disconnected and self._current is exchange:
            self._current = None

    # --- deadlines and refusals -------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Called about once a second."""
        limits, waited = self.limits, now - self._since
        looked_at, self._looked_at = self._looked_at, now
        if self._refused_at:
            if now - self._refused_at > LINGER:
                self._transport.abort()
        elif self.blocked is not None and self._stuck(now):
            self._transport.abort()
        elif self._in_head:
            if waited > limits.header_seconds:
                self._refuse(framing.late(f"The request's headers did not arrive within {limits.header_seconds:g} s."))
        elif self._in_body:
            if self._reading_paused:
                return  # it is we who do not take it
            self._body_waited += now - looked_at
            if waited > limits.body_seconds:
                self._refuse(framing.late(f"No byte of the request's body arrived for {limits.body_seconds:g} s."))
            elif self._body_waited > limits.body_seconds + self._body_bytes / limits.body_rate:
                self._refuse(
                    framing.late(f"The request's body arrives at less than {limits.body_rate} bytes a second.")
                )
        elif self._current is None and waited > limits.idle_seconds:
            self._transport.close()

    def _stuck(self, now: float) -> bool:
        """Whether the client has taken nothing of what waits for it for too long."""
        waiting = self._transport.get_write_buffer_size()
        if waiting != self._waiting:
            self._waiting = waiting
            self._blocked_since = now
        return now - self._blocked_since > self.limits.write_seconds

    def shutdown(self) -> None:
        """The port closes: an idle connection ends now, a busy one after its answer."""
        self._stopping = True
        if self._current is None:
            self._transport.close()
        else:
            self._current.keep_alive &= self._current.started

    def _refuse(self, error: TollkeeperError) -> None:
        """Answers what never became a call, and closes; after the answers to earlier requests that are under way."""
        behind = self._current is not None and (self._in_head or self._newest is not self._current)
        self._in_head = self._in_body = False
        if behind:
            self._refusal = error
            return
        if self._current is not None:
            started = self._current.started
            self._current.disconnect()
            if started:
                self._transport.close()
                return
        self._write_refusal(error)

    def _write_refusal(self, error: TollkeeperError) -> None:
        self._refused_at = self.loop.time()
        if self._transport.is_closing():
            return
        body = openai_errors.body(error)
        lines = [STATUS_LINES[error.status], b"content-type: application/json", *map(b": ".join, error.headers)]
        lines += (b"content-length: %d" % len(body), b"x-request-id: " + type(self).new_id().encode())
        self._transport.write(b"\r\n".join([*lines, b"connection: close", b"", body]))
        # Half closed: the client can read this before it learns that nobody reads what it still sends.
        self._transport.write_eof()


def _address(found: Any) -> tuple[str, int] | None:
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) else None
