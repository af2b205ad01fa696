"""A small client for Redis (RESP2 over TCP or TLS): one command and its answer at a time, over kept connections.

Only what counters in common need: a library would bring more than the rest of a default install's network code.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from tollkeeper.core.errors import TollkeeperError, UpstreamError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Answer = bytes | int | None | list["Answer"]
_MOST_IDLE = 100
_LONGEST = 1024 * 1024


class Place(Struct, frozen=True, kw_only=True):
    """Where a Redis server is, and how it is entered."""

    host: str
    port: int = 6379
    username: str | None = None
    password: str | None = None
    database: int = 0
    tls: bool = False
    verify: bool = True
    seconds: float = 1.0
    """For one command, connecting included."""


class RedisError(UpstreamError):
    """It could not be asked, or refused."""


class Redis:
    """One server. `resolve` gives the addresses of a host, all of which may be connected to; it raises UpstreamError."""

    def __init__(self, place: Place, resolve: Resolve) -> None:
        self._place = place
        self._resolve = resolve
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, *words: str | bytes | int) -> Answer:
        """The answer to one command. Raises RedisError."""
        try:
            async with asyncio.timeout(self._place.seconds):
                return await self._run(words)
        except RedisError:
            raise
        except (OSError, TimeoutError, EOFError, ValueError, TollkeeperError) as error:
            raise RedisError(f"Redis at {self._place.host}: {error or 'no answer in time'}") from None

    async def close(self) -> None:
        """Ends the connections that wait for a command."""
        idle, self._idle = self._idle, []
        for _, writer in idle:
            writer.close()

    async def _run(self, words: Sequence[str | bytes | int]) -> Answer:
        while self._idle:
            connection = self._idle.pop()
            if connection[0].at_eof() or connection[1].is_closing():
                connection[1].close()
                continue
            with suppress(ConnectionError, EOFError):  # it was closed just now: another is opened
                return await self._asked(connection, words)
        connection = await self._opened()
        return await self._asked(connection, words)

    async def _asked(
        self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], words: Sequence[str | bytes | int]
    ) -> Answer:
        reader, writer = connection
        try:
            writer.write(_written(words))
            found = await _read(reader)
        except BaseException as error:
            if not isinstance(error, RedisError):
                writer.close()
                raise
            self._idle.append(connection)
            raise
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            writer.close()
        return found

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        place = self._place
        address = (await self._resolve(place.host, place.port))[0]
        context: ssl.SSLContext | None = None
        if place.tls:
            context = ssl.create_default_context()
            if not place.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        name = place.host if place.tls else None
        reader, writer = await asyncio.open_connection(
            address, place.port, ssl=context, server_hostname=name, limit=_LONGEST
        )
        try:
            if place.password is not None:
                login = [place.password] if place.username is None else [place.username, place.password]
                writer.write(_written(["AUTH", *login]))
                await _read(reader)
            if place.database:
                writer.write(_written(["SELECT", place.database]))
                await _read(reader)
        except BaseException:
            writer.close()
            raise
        return reader, writer


def _written(words: Sequence[str | bytes | int]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


async def _read(reader: asyncio.StreamReader) -> Answer:
    line = await reader.readuntil(b"\r\n")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest
    if kind == b"-":
        raise RedisError(f"Redis refused: {rest.decode('utf-8', 'replace')[:200]}")
    if kind == b":":
        return int(rest)
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else (await reader.readexactly(size + 2))[:-2]
    if kind == b"*":
        return [await _read(reader) for _ in range(int(rest))]
    raise ValueError("it does not speak Redis's protocol")
