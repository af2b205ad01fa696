"""Outbound WebSockets: opened with the provider's credentials, read as fast as their messages are taken."""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.uri import parse_uri

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.limits import Positive
from tollkeeper.upstream import failures
from tollkeeper.wire.websocket import ABNORMAL, Channel, Message

_HIGH_WATER = 256 * 1024
LARGEST: Positive = 64 * 1024 * 1024
"""Bytes of one message of a provider's: a second of audio has a hundred thousand, a picture millions."""


class SocketClient:
    """Implements `core.ports.Connector` for http:// and https:// URLs."""

    def __init__(self) -> None:
        self._tls: ssl.SSLContext | None = None
        self._open: set[UpstreamSocket] = set()

    async def connect(self, url: str, headers: Sequence[tuple[bytes, bytes]], timeouts: Patience) -> "UpstreamSocket":
        """Raises UpstreamError (upstream_auth_failed, upstream_no_socket, and those of a connection), GateError."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        if parts.scheme not in ("http", "https"):
            raise UpstreamError("The provider has no sockets.", code="upstream_no_socket", retryable=False)
        loop = asyncio.get_running_loop()
        protocol = ClientProtocol(parse_uri(f"{'wss' if tls else 'ws'}{url[len(parts.scheme) :]}"), max_size=LARGEST)
        return await opened(
            protocol,
            headers,
            lambda made: loop.create_connection(
                made,
                parts.hostname or "",
                parts.port or (443 if tls else 80),
                ssl=self._tls_context() if tls else None,
            ),
            self._open,
            timeouts.connect,
        )

    async def close(self) -> None:
        """Ends every connection."""
        for socket in list(self._open):
            socket.abort()

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


async def opened(
    protocol: ClientProtocol,
    headers: Sequence[tuple[bytes, bytes]],
    connect: Callable[[Callable[[], "UpstreamSocket"]], Awaitable[tuple[object, "UpstreamSocket"]]],
    all_open: "set[UpstreamSocket]",
    seconds: float,
) -> "UpstreamSocket":
    """A socket after its handshake, over what `connect` connects it to. Raises UpstreamError, after `seconds` too."""
    loop = asyncio.get_running_loop()
    request = protocol.connect()
    for name, value in headers:
        request.headers[name.decode("latin-1")] = value.decode("latin-1")
    protocol.send_request(request)
    try:
        async with asyncio.timeout(seconds):
            _, socket = await connect(lambda: UpstreamSocket(protocol, loop, all_open))
            try:
                await socket.opened
            except BaseException:
                socket.abort()
                raise
    except (OSError, TimeoutError) as error:
        raise failures.translated(error) from error
    return socket


class UpstreamSocket(asyncio.Protocol):
    """Implements `core.ports.Duplex`."""

    def __init__(
        self, protocol: ClientProtocol, loop: asyncio.AbstractEventLoop, all_open: "set[UpstreamSocket]"
    ) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        """Done when the handshake is over; fails where the provider opened no socket."""
        self.blocked: asyncio.Future[None] | None = None
        self._loop = loop
        self._protocol = protocol
        self._channel = Channel(largest=LARGEST, protocol=protocol)
        self._all_open = all_open
        self._transport: asyncio.Transport | None = None
        self._arrived: deque[Message] = deque()
        self._size = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._all_open.add(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self._shake_hands(data)
            data = b""
        for message in self._channel.feed(data):
            self._arrived.append(message)
            self._size += len(message)
        if self._size > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._flush()
        self._wake()

    def _shake_hands(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        response = protocol.events[0] if protocol.events else None
        if isinstance(response, Response):
            del protocol.events[0]
            if protocol.handshake_exc is None:
                self.opened.set_result(None)
            else:
                self.opened.set_exception(_refused(response.status_code))
        elif protocol.handshake_exc is not None:
            self.opened.set_exception(failures.not_http())

    def eof_received(self) -> bool:
        self._channel.end()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._all_open.discard(self)
        self._channel.end()
        self._channel.take()
        if not self.opened.done():
            self.opened.set_exception(failures.closed_early() if exc is None else failures.translated(exc))
        self.resume_writing()
        self._wake()

    def pause_writing(self) -> None:
        if self.blocked is None:
            self.blocked = self._loop.create_future()

    def resume_writing(self) -> None:
        blocked, self.blocked = self.blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    def _flush(self) -> None:
        data = self._channel.take()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if data:
            transport.write(data)
        if self._channel.over or (self.opened.done() and self._channel.closed is not None and not self._channel.open):
            transport.close()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- core.ports.Duplex ------------------------------------------------------------------------------------------

    @property
    def closed(self) -> tuple[int, str] | None:
        found = self._channel.closed
        return (ABNORMAL, "") if found is None and self._lost else found

    async def receive(self) -> str | bytes | None:
        while not self._arrived:
            if self._lost or self._channel.closed is not None:
                return None
            self._waiter = self._loop.create_future()
            await self._waiter
        message = self._arrived.popleft()
        self._size -= len(message)
        if self._paused and self._size < _HIGH_WATER and self._transport is not None and not self._lost:
            self._paused = False
            self._transport.resume_reading()
        return message

    def send(self, text: bytes) -> None:
        self._channel.text(text)
        self._flush()

    def send_binary(self, data: bytes) -> None:
        """One binary message. Nothing is sent once it has ended."""
        self._channel.binary(data)
        self._flush()

    @property
    def subprotocol(self) -> str | None:
        """The one that the other side chose."""
        return self._protocol.subprotocol

    def close(self) -> None:
        if not self._lost and self._channel.open:
            self._channel.close()
            self._flush()

    def abort(self) -> None:
        """At once."""
        if self._transport is not None:
            self._transport.abort()


def _refused(status: int) -> UpstreamError:
    if status == 401:
        return UpstreamError(
            "The provider refused this gate's credentials. Tell its operator.",
            code="upstream_auth_failed",
            retryable=False,
        )
    return UpstreamError(
        f"The provider opened no socket: it answered with status {status}.", code="upstream_no_socket", retryable=False
    )
