"""uvicorn's HTTP/1.1 connection with what a public door needs: caps, deadlines, errors in the caller's dialect.

uvicorn sets no bound on a request's headers nor on the time they take (a trickled request held a connection for minutes
in xinference#5213). Deadlines are looked after by one sweep a second over all connections, so a request pays nothing.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.limits import DoorLimits
from tollkeeper.dialects import openai_errors

LEAVING = "tollkeeper.leaving"
ABORT = "tollkeeper.abort"
"""ASGI extensions: `leaving(callback)` calls back when the client's connection is lost; `abort()` ends it unfinished."""

MOST_DISCARDED = 16 * 1024 * 1024
LINGER = 2.0


class DoorProtocol(HttpToolsProtocol):
    """One client's connection."""

    limits: DoorLimits

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._on_leave: Callable[[], None] | None = None
        self._head_bytes = 0
        self._head_since = 0.0
        self._in_head = False
        self._in_body = False
        self._body_since = 0.0
        self._blocked_since = 0.0
        self._idle_since = self.loop.time()
        self._refused_at = 0.0
        self._refusal: TollkeeperError | None = None
        self._discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._extensions = {LEAVING: self._leaving, ABORT: self._abort}
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        callback, self._on_leave = self._on_leave, None
        if callback is not None and not self.cycle.response_complete:
            callback()

    def _leaving(self, callback: Callable[[], None]) -> None:
        self._on_leave = callback
        if self.transport.is_closing():
            self._on_leave = None
            callback()

    def _abort(self) -> None:
        """Ends an answer that broke off: what was written is flushed, the body's end is never sent."""
        self.cycle.disconnected = True
        self.transport.close()

    # --- caps -------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._refused_at or self._refusal is not None:
            return
        self._idle_since = 0.0
        if self._body_since:
            self._body_since = self.loop.time()
        if not self._in_head and not self._in_body:
            self._in_head = True
            self._head_since = self.loop.time()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(CallerError("No protocol upgrade is offered here.", code="upgrade_not_offered"))
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, TollkeeperError):
                self._refuse(cause)
            else:
                self._refuse(CallerError("The request is not valid HTTP/1.1.", code="invalid_http"))
        if self._in_head:
            # Nothing is handed to the callbacks before a header line is whole: endless lines are counted here.
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.headers + self.limits.url + 1024:
                self._refuse(_too_many_headers(self.limits))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]
        self._in_head = True
        self._head_since = self.loop.time()
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url:
            raise CallerError(f"The URL is longer than {self.limits.url} bytes.", status=414, code="url_too_long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self.limits.headers or len(self.headers) >= self.limits.header_count:
            raise _too_many_headers(self.limits)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._check_framing()
        super().on_headers_complete()
        self._in_body = True
        self._body_since = self.loop.time()

    def _check_framing(self) -> None:
        """Refuses what two parsers could frame differently (RFC 9112, 6.1 and 6.3): request smuggling lives there."""
        hosts = 0
        length = coding = False
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                if length or not value.isdigit():
                    raise CallerError("Conflicting or malformed Content-Length.", code="invalid_http")
                length = True
            elif name == b"transfer-encoding":
                if coding or value.lower() != b"chunked":
                    raise CallerError(
                        "Only a single 'Transfer-Encoding: chunked' is understood.", status=501, code="invalid_http"
                    )
                coding = True
            elif b"\x00" in value or b"\r" in value or b"\n" in value:
                raise CallerError("A header has a control character in it.", code="invalid_http")
        if length and coding:
            raise CallerError("Content-Length and Transfer-Encoding exclude each other.", code="invalid_http")
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise CallerError("Exactly one Host header is needed.", code="invalid_http")

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            # An answer (a 413, a 401) went out before the body was read: the rest is thrown away, within reason, so that
            # the client gets to read the answer instead of a reset.
            self._discarded += len(body)
            if self._discarded > MOST_DISCARDED:
                self.transport.abort()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._body_since = 0.0
        self._discarded = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._on_leave = None
        self._blocked_since = 0.0
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._refusal is not None and not self.pipeline:
            self._write_refusal(self._refusal)
        elif self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self._idle_since = self.loop.time()

    def pause_writing(self) -> None:
        self._blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._blocked_since = 0.0
        super().resume_writing()

    # --- deadlines --------------------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Called about once a second."""
        limits = self.limits
        if self._refused_at:
            if now - self._refused_at > LINGER:
                self.transport.abort()
        elif self._in_head and now - self._head_since > limits.header_seconds:
            self._refuse(_late(f"The request's headers did not arrive within {limits.header_seconds:g} s."))
        elif self._body_since and now - self._body_since > limits.body_seconds and not self.flow.read_paused:
            self._refuse(_late(f"No byte of the request's body arrived for {limits.body_seconds:g} s."))
        elif self._idle_since and now - self._idle_since > limits.idle_seconds:
            self.transport.close()
        elif self._blocked_since and now - self._blocked_since > limits.write_seconds:
            self.transport.abort()

    # --- refusals ---------------------------------------------------------------------------------------------------

    def _refuse(self, error: TollkeeperError) -> None:
        """Answers what never became a call, and closes; after the answer to an earlier request that is still under way."""
        cycle = self.cycle
        busy = cycle is not None and not cycle.response_complete
        if busy and self._in_head:
            self._in_head = False
            self._refusal = error
            return
        self._in_head = False
        self._body_since = 0.0
        if busy:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        self._write_refusal(error)

    def _write_refusal(self, error: TollkeeperError) -> None:
        self._refused_at = self.loop.time()
        if self.transport.is_closing():
            return
        body = openai_errors.body(error)
        self.transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[error.status], len(body), body)
        )
        # Half closed: the client can read this before it learns that nobody reads what it still sends.
        self.transport.write_eof()

    def send_400_response(self, msg: str) -> None:
        self._refuse(CallerError(msg, code="invalid_http"))


def _too_many_headers(limits: DoorLimits) -> CallerError:
    return CallerError(
        f"The request's headers exceed {limits.headers} bytes or {limits.header_count} lines.",
        status=431,
        code="headers_too_large",
    )


def _late(message: str) -> CallerError:
    return CallerError(message, status=408, code="request_timeout")
