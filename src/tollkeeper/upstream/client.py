"""The outbound HTTP client: pooled keep-alive connections, deadlines, nothing per request that a gate does not need.

Ours rather than a library's: measured on one machine, a request through aiohttp costs 144 µs of CPU and through
pyreqwest 119 µs where the whole gate may cost 80 µs; see docs/performance.md.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import GateError
from tollkeeper.core.hops import Pooling, Tls
from tollkeeper.upstream import failures
from tollkeeper.upstream.connection import Answer, Connection

_SWEEP = 0.1
_line = b": ".join
_TRUST_IDLE = 0.01
"""Where the loop has told of nothing for this many seconds, a pooled connection that was idle for as long is asked whether
its peer has closed it before it is used: the loop may not have been told yet."""
_DISTRUST = 1.0
"""Seconds for which each is asked after one of them was lost though it had been kept."""


@dataclass(slots=True)
class Origin:
    """Connections to one scheme, host and port."""

    host: str
    port: int
    tls: bool
    idle: deque[Connection] = field(default_factory=deque)
    open: int = 0
    via: Tls | None = None
    """How TLS is done where that is not the usual way."""
    pooling: Pooling | None = None
    """How many connections are kept, and for how long, where that is not the client's own way."""
    told_at: float = float("-inf")
    """Monotonic time of the last answer's end, when the loop tells of what peers have closed in the same round, or of the
    last look at a connection."""
    trusted_from: float = float("-inf")
    """Monotonic time before which every connection is asked whether its peer has closed it."""
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class HttpClient:
    """Implements `core.ports.Outbound` for http:// and https:// URLs."""

    def __init__(self, now: Callable[[], float], *, most_connections: int = 2000, keep_idle: float = 50.0) -> None:
        self._now = now
        self._most = most_connections
        self._keep_idle = keep_idle
        self._origins: dict[Hashable, Origin] = {}
        self._places: dict[str, tuple[Origin, bytes, bytes]] = {}
        self._busy: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def send(
        self,
        method: bytes,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Coroutine[Any, Any, Answer]:
        """Sends one request; returns when it has been handed to the network. The answer's `head` comes next.

        Sets host and the body's framing itself: `headers` has neither. A streamed body whose length is known comes
        with content-length in `headers`. Raises UpstreamError; whatever `body` raises passes through.
        """
        origin, host, target = self._place(url)
        return self._send(origin, host, target, method, headers, body, timeouts)

    async def _send(
        self,
        origin: Origin,
        host: bytes,
        target: bytes,
        method: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Answer:
        loop = asyncio.get_running_loop()
        connection = self._take_idle(origin) or await self._connect(origin, loop, timeouts.connect)
        answer = Answer(
            connection,
            loop,
            self._now,
            first_byte=timeouts.first_byte,
            idle=timeouts.idle,
            total=timeouts.total,
            bodiless=method == b"HEAD",
        )
        connection.answer = answer
        self._busy.add(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP, self._sweep)
        lines = [b"".join((method, b" ", target, b" HTTP/1.1\r\nhost: ", host))]
        lines += map(_line, headers)
        if isinstance(body, bytes):
            if body or method in (b"POST", b"PUT", b"PATCH"):
                lines.append(b"content-length: %d" % len(body))
            lines += (b"", body)
            connection.write(b"\r\n".join(lines))
            if connection.full:
                answer.upload(loop.create_task(connection.drained(timeouts.send)))
        else:
            sized = any(name == b"content-length" for name, _ in headers)
            if not sized:
                lines.append(b"transfer-encoding: chunked")
            lines += (b"", b"")
            connection.write(b"\r\n".join(lines))
            answer.upload(loop.create_task(connection.write_all(body, not sized, timeouts.send)))
        return answer

    async def close(self) -> None:
        """Ends every connection."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for origin in self._origins.values():
            while origin.idle:  # none is left there to be looked at whenever another one is gone
                origin.idle.pop().close()
        for connection in list(self._busy):
            connection.close()

    def _place(self, url: str) -> tuple[Origin, bytes, bytes]:
        known = self._places.get(url)
        if known is not None:
            return known
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host = parts.hostname or ""
        port = parts.port or (443 if tls else 80)
        origin = self._origins.setdefault((tls, host, port), Origin(host, port, tls))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        place = (origin, parts.netloc.rpartition("@")[2].encode("ascii"), target.encode("ascii"))
        if len(self._places) < 4096 and not parts.query:
            self._places[url] = place
        return place

    def _take_idle(self, origin: Origin) -> Connection | None:
        idle = origin.idle
        while idle:
            connection = idle.pop()
            if connection.lost:
                continue
            now = self._now()
            age = now - connection.used_at
            keep = self._keep_idle if origin.pooling is None else origin.pooling.idle
            if age > keep:
                connection.close()
                continue
            if min(age, now - origin.told_at) > _TRUST_IDLE or now < origin.trusted_from:
                if connection.peer_closed():
                    connection.close()
                    continue
                origin.told_at = now  # what others of this burst would be asked the loop was told before it began
            return connection
        return None

    async def _connect(self, origin: Origin, loop: asyncio.AbstractEventLoop, seconds: float) -> Connection:
        if self._closed:
            raise GateError("The gate is shutting down.", code="shutting_down")
        try:
            async with asyncio.timeout(seconds):
                while origin.open >= self._most:
                    turn = loop.create_future()
                    origin.waiting.append(turn)
                    try:
                        await turn
                    except asyncio.CancelledError:
                        if turn.done() and not turn.cancelled():
                            _wake_one(origin)  # the turn was given and is not taken
                        raise
                    freed = self._take_idle(origin)
                    if freed is not None:
                        return freed
                origin.open += 1
                try:
                    connection = await self._open(origin, loop)
                except BaseException:
                    self._closed_one(origin)
                    raise
        except (OSError, TimeoutError) as error:
            raise failures.translated(error) from error
        connection.on_free = lambda free, reusable: self._on_free(origin, free, reusable)
        return connection

    async def _open(self, origin: Origin, loop: asyncio.AbstractEventLoop) -> Connection:
        _, connection = await loop.create_connection(
            lambda: Connection(loop, self._now),
            origin.host,
            origin.port,
            ssl=self._tls_context() if origin.tls else None,
            server_hostname=origin.host if origin.tls else None,
        )
        return connection

    def _on_free(self, origin: Origin, connection: Connection, reusable: bool) -> None:
        self._busy.discard(connection)
        pooling = origin.pooling
        if pooling is not None and (connection.used >= pooling.requests or len(origin.idle) >= pooling.size):
            reusable = False
        if reusable and not self._closed:
            origin.told_at = connection.used_at
            origin.idle.append(connection)
            _wake_one(origin)
        elif connection.lost:
            if connection.used:  # a provider that closes one of those that it kept has often closed them all
                origin.trusted_from = self._now() + _DISTRUST
                for other in [idle for idle in origin.idle if idle.peer_closed()]:
                    origin.idle.remove(other)
                    other.close()
            with contextlib.suppress(ValueError):
                origin.idle.remove(connection)
            self._closed_one(origin)
        else:
            connection.close()

    def _closed_one(self, origin: Origin) -> None:
        origin.open -= 1
        _wake_one(origin)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _sweep(self) -> None:
        now = self._now()
        for connection in list(self._busy):
            if connection.answer is not None:
                connection.answer.check(now)
        for origin in self._origins.values():
            keep = self._keep_idle if origin.pooling is None else origin.pooling.idle
            while origin.idle and now - origin.idle[0].used_at > keep:
                origin.idle.popleft().close()
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP, self._sweep)


def _wake_one(origin: Origin) -> None:
    while origin.waiting:
        turn = origin.waiting.popleft()
        if not turn.done():
            turn.set_result(None)
            return
