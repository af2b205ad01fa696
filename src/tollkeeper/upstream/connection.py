"""One HTTP/1.1 connection to a provider: a request goes out, its answer comes in, bytes are handed on as they arrive.

Rule 1: no task and no queue for a chunk. Whoever waits for bytes is woken straight from the socket's callback.
Rule 2: a body that ends other than HTTP says it must end is an error, never an end.
Rule 3: a slow reader stops the socket: at most `HIGH_WATER` bytes and what one read brought wait here.
"""

import asyncio
import copy
import select
from collections.abc import AsyncIterator, Awaitable, Callable

import httptools

from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.remembered import Remembered
from tollkeeper.upstream import failures

HIGH_WATER = 64 * 1024
LONGEST_HEADERS = 64 * 1024
_MOST_FRAMING = 8
"""Bytes of framing for one of the body: chunks of one byte have five."""
_lowered = Remembered[bytes, bytes](bytes.lower)
_OF_THIS_HOP = frozenset((b"keep-alive", b"close"))
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-type"))


class Connection(asyncio.Protocol):
    """Speaks for one request at a time; the pool gives it the next when `idle`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float]) -> None:
        self._loop = loop
        self._now = now
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._writable: asyncio.Future[None] | None = None
        self._paused_writing = False
        self.lost = False
        self.used_at = 0.0
        self.used = 0
        """How many answers it has carried already."""
        self.answer: Answer | None = None
        self.on_free: Callable[[Connection, bool], None] | None = None
        """Called when an answer ended: with whether the connection can carry another request."""

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None:
            self.close()  # bytes that nobody asked for: the framing cannot be trusted
            return
        answer.feed(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self.answer is not None:
            self.answer.connection_lost(exc)
        if self.on_free is not None:
            self.on_free(self, False)

    def pause_writing(self) -> None:
        self._paused_writing = True
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        self._paused_writing = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- for the pool and the answer --------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    @property
    def full(self) -> bool:
        """Whether more was written than the provider takes at once."""
        return self._paused_writing

    async def drained(self, seconds: float) -> None:
        """Until it has taken enough of what was written. Raises UpstreamError (504) where that takes too long."""
        if not self._paused_writing or self._writable is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._writable
        except TimeoutError:
            raise failures.not_taken(seconds) from None

    async def write_all(self, chunks: AsyncIterator[bytes], chunked: bool, seconds: float) -> None:
        """A streamed body, as fast as the provider takes it. Stops early once the answer has ended.

        Raises UpstreamError (504) where a piece is not taken within `seconds`.
        """
        async for chunk in chunks:
            if self.lost or self.answer is None:
                return
            if chunk:
                self.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            await self.drained(seconds)
        if chunked and not self.lost:
            self.write(b"0\r\n\r\n")

    def pause_reading(self) -> None:
        if self._transport is not None and not self.lost:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self.lost:
            self._transport.resume_reading()

    def peer_closed(self) -> bool:
        """Whether the provider has closed, or sent what nobody asked for, though the loop has not told us yet."""
        return self.lost or bool(self._poll.poll(0))

    def free(self, reusable: bool) -> None:
        """The answer is done with this connection."""
        self.answer = None
        self.used += 1
        self.used_at = self._now()
        if not reusable:
            self.close()
        elif self.on_free is not None:
            self.on_free(self, True)

    def close(self) -> None:
        """At once: whatever the provider still sends is not wanted."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()


class Answer:
    """The answer to one request, as it comes in. Implements `core.ports.Sent`."""

    __slots__ = (
        "_begun",
        "_bodiless",
        "_body",
        "_complete",
        "_connection",
        "_deadline",
        "_error",
        "_fed",
        "_first_byte",
        "_head_ready",
        "_hop",
        "_idle",
        "_last",
        "_loop",
        "_now",
        "_parser",
        "_parts",
        "_paused",
        "_push",
        "_quiet",
        "_quiet_since",
        "_reusable",
        "_size",
        "_total",
        "_upload",
        "_waiter",
        "first_byte_at",
        "headers",
        "reused",
        "sent_at",
        "status",
    )

    def __init__(
        self,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float],
        *,
        first_byte: float,
        idle: float,
        total: float,
        bodiless: bool = False,
    ) -> None:
        self._bodiless = bodiless
        """An answer to HEAD ends with its headers, whatever length they tell of; the parser does not know."""
        self._connection = connection
        self._loop = loop
        self._now = now
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._size = 0
        self._paused = False
        self._push: Callable[[bytes], bool] | None = None
        self._quiet: float | None = None
        self._quiet_since = 0.0
        self._complete = False
        self._begun = False
        self._reusable = False
        self._error: TollkeeperError | None = None
        """Raised as a copy: what is raised holds the frames that it passed, and those hold this answer."""
        self._fed = 0
        self._body = 0
        self._waiter: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self._first_byte = first_byte
        self._idle = idle
        self._total = total
        self._head_ready = loop.create_future()
        self.reused = connection.used > 0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._hop: set[bytes] = set()
        """Headers that are for this connection alone (RFC 9110, 7.6.1)."""
        self.sent_at = now()
        self.first_byte_at = 0.0
        self._last = self.sent_at
        self._deadline = self.sent_at + total

    # --- httptools callbacks ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._reusable = False
            raise httptools.HttpParserCallbackError("a second answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._begun:  # else it is a trailer, which ends what needs none of our attention
            name = _lowered[name]
            self.headers.append((name, value))
            if name == b"connection" and value.lower() not in _OF_THIS_HOP:
                self._hop.update(named.strip() for named in value.lower().split(b","))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101:
            raise httptools.HttpParserCallbackError("no other protocol was asked for")
        if status < 200:
            self.headers = []
            return
        if self._hop:
            self.headers = [header for header in self.headers if header[0] not in self._hop - _FRAMING]
        self.status = status
        self._begun = True
        if self._bodiless:
            self._complete = True

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        self._body += len(data)

    def on_message_complete(self) -> None:
        if self._begun:
            self._complete = True
            # Asked now: once the callback returns the parser has forgotten this message.
            self._reusable = self._parser.should_keep_alive()

    # --- from the connection ----------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        now = self._now()
        self._last = now
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:  # what follows a whole answer is not its fault; the connection is not used again
                self._fail(failures.not_http())
                return
        if not self._begun:
            # The parser hands over whole header lines only: an endless one is counted here.
            self._fed += len(data)
            if self._fed > LONGEST_HEADERS:
                self._fail(failures.headers_too_large(LONGEST_HEADERS))
            return
        self._fed += len(data)
        if self._fed > 2 * LONGEST_HEADERS + _MOST_FRAMING * self._body and not self._complete:
            self._fail(failures.headers_too_large(LONGEST_HEADERS))  # chunk extensions or trailers without end
            return
        if not self._head_ready.done():
            self.first_byte_at = now
            self._head_ready.set_result(None)
        push = self._push
        if push is not None and self._parts:
            if push(self.take()) and not self._complete:
                return
            self._push = None
        if self._complete:
            self._release(self._reusable and (self._upload is None or self._upload.done()))
        elif self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.pause_reading()
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._complete or self._error is not None:
            return
        if not self._begun:
            self._fail(failures.closed_early() if exc is None else failures.translated(exc))
        elif exc is None and self._ends_with_connection():
            self._complete = True
            self._connection.answer = None
            self._wake()
        else:
            self._fail(failures.cut())

    def _ends_with_connection(self) -> bool:
        """Neither length nor chunks announced: the end of the connection is the end of the body (RFC 9112, 6.3)."""
        return not any(
            name == b"content-length" or (name == b"transfer-encoding" and b"chunked" in value.lower())
            for name, value in self.headers
        )

    def check(self, now: float) -> None:
        """Called a few times a second: fails the answer if one of its times is up."""
        if self._complete or self._error is not None:
            return
        if now >= self._deadline:
            self._fail(failures.overdue(self._total))
        elif self._upload is not None and not self._upload.done():
            self._last = now
        elif not self.first_byte_at:
            if now - self.sent_at >= self._first_byte:
                self._fail(failures.silent(self._first_byte))
        elif now - self._last >= self._idle and not self._paused:
            self._fail(failures.stalled(self._idle))
        elif self._quiet is not None and now - max(self._last, self._quiet_since) >= self._quiet:
            self._push = None
            self._wake()

    def upload(self, task: asyncio.Task[None]) -> None:
        """The task that still sends the request's body."""
        self._upload = task
        task.add_done_callback(self._uploaded)

    def _uploaded(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._complete:
            return
        error = task.exception()
        if error is not None:
            if not isinstance(error, TollkeeperError):
                error = failures.translated(error)
            self._fail(error)
        else:
            self.sent_at = self._last = self._now()

    def _fail(self, error: TollkeeperError) -> None:
        if self._error is not None or self._complete:
            return
        self._error = error
        ready = self._head_ready
        if not ready.done():
            self._head_ready = self._loop.create_future()  # not that which will hold the frames that it raises in
            _raises(ready, error)
        self._release(False)
        self._wake()

    def _release(self, reusable: bool) -> None:
        del self._parser  # it refers back to this answer: a circle for each request would be the collector's to find
        connection = self._connection
        if connection.answer is self:
            if self._upload is not None and not self._upload.done():
                self._upload.cancel()
            if self._paused:
                connection.resume_reading()
            connection.free(reusable and not connection.lost)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- core.ports.Sent --------------------------------------------------------------------------------------------

    def head(self) -> Awaitable[None]:
        if self._error is not None and not self.first_byte_at:
            return _raises(self._loop.create_future(), self._error)
        return self._head_ready

    @property
    def last_byte_at(self) -> float:
        return self._last

    def take(self) -> bytes:
        """All bytes that wait here."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._connection.resume_reading()
        return data

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        while True:
            if self._parts:
                return self.take()
            if self._error is not None:
                raise copy.copy(self._error)
            if self._complete:
                return None
            self._waiter = self._loop.create_future()
            if timeout is None:
                await self._waiter
            else:
                async with asyncio.timeout(timeout):
                    await self._waiter

    async def pour(self, push: Callable[[bytes], bool], quiet: float | None = None) -> bool:
        if self._parts and not push(self.take()):
            return False
        if not self._complete and self._error is None:
            self._push = push
            self._quiet = quiet
            self._quiet_since = self._now()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                stopped, self._push = self._push is None, None
                self._quiet = None
            if quiet is not None and self._now() - max(self._last, self._quiet_since) >= quiet:
                raise TimeoutError
            if stopped and not self._complete and self._error is None:
                return False
        if self._parts:
            return push(self.take()) and self._complete
        if self._error is not None:
            raise copy.copy(self._error)
        return True

    def arrived(self) -> bytes | None:
        return self.take() if self._complete else None

    async def read(self, limit: int) -> tuple[bytes, bool]:
        if self._complete:
            return self.take(), True
        chunks: list[bytes] = []
        size = 0
        while size < limit:
            chunk = await self.next_chunk()
            if chunk is None:
                return b"".join(chunks), True
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks), False

    def close(self) -> None:
        if not self._complete:
            self._fail(failures.cut())

    def limit_to(self, seconds: float) -> None:
        self._deadline = min(self._deadline, self._now() + seconds)


def _raises(future: asyncio.Future[None], error: TollkeeperError) -> asyncio.Future[None]:
    """It raises a copy of the error where it is awaited; where it is not, asyncio does not tell of it."""
    future.set_exception(copy.copy(error))
    future.exception()
    return future
