"""A small client for Redis (RESP2 over TCP or TLS): one command and its answer at a time, over kept connections.

Only what counters in common need: a library would bring more than the rest of a default install's network code.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from msgspec import Struct

from tollkeeper.core.errors import TollkeeperError, UpstreamError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Answer = bytes | int | None | list["Answer"]
Word = str | bytes | int
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
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
    most_idle: int = 100
    """Connections that are kept."""
    idle_seconds: float | None = None
    """How long one is; None: until the server closes it."""


class RedisError(UpstreamError):
    """It could not be asked, or refused."""


class RedisRefusal(RedisError):
    """It was asked, and said no: `said`, as in `WRONGPASS invalid username-password pair`."""

    def __init__(self, said: str) -> None:
        super().__init__(f"Redis refused: {said[:200]}")
        self.said = said


class Keyed(Protocol):
    """One server or several, of which one has each key."""

    async def on(self, key: str, *words: Word) -> Answer:
        """The answer to one command by who has `key`, which is among the words. Raises RedisError."""
        ...

    async def close(self) -> None: ...


class Redis:
    """One server. `resolve` gives the addresses of a host, all of which may be connected to; it raises UpstreamError."""

    def __init__(self, place: Place, resolve: Resolve) -> None:
        self._place = place
        self._resolve = resolve
        self._idle: list[tuple[_Connection, float]] = []
        """Connections and when they were last used, on the event loop's clock."""
        self._most_idle = place.most_idle

    async def on(self, key: str, *words: Word) -> Answer:
        """As `Keyed` has it: this one has every key."""
        return await self.run(*words)

    async def run(self, *words: Word, asking: bool = False) -> Answer:
        """The answer to one command. Raises RedisError.

        `asking`: the server is to answer though it is only being given this key by another one.
        """
        try:
            async with asyncio.timeout(self._place.seconds):
                return await self._run([["ASKING"], words] if asking else [words])
        except RedisError:
            raise
        except (OSError, TimeoutError, EOFError, ValueError, TollkeeperError) as error:
            raise RedisError(f"Redis at {self._place.host}: {error or 'no answer in time'}") from None

    async def close(self) -> None:
        """Ends the connections that wait for a command, and others when they have their answer."""
        self._most_idle = 0
        idle, self._idle = self._idle, []
        for (_, writer), _ in idle:
            writer.close()

    async def _run(self, commands: Sequence[Sequence[Word]]) -> Answer:
        longest = self._place.idle_seconds
        while self._idle:
            connection, since = self._idle.pop()
            reader, writer = connection
            stale = longest is not None and asyncio.get_running_loop().time() - since > longest
            if stale or reader.at_eof() or writer.is_closing():
                writer.close()
                continue
            with suppress(ConnectionError, EOFError):  # it was closed just now: another is opened
                return await self._asked(connection, commands)
        connection = await self._opened()
        return await self._asked(connection, commands)

    async def _asked(self, connection: _Connection, commands: Sequence[Sequence[Word]]) -> Answer:
        """The answer to the last of the commands."""
        reader, writer = connection
        found: Answer = None
        try:
            writer.write(b"".join(map(_written, commands)))
            for _ in commands:
                found = await _read(reader)
        except BaseException as error:
            if isinstance(error, RedisRefusal) and len(commands) == 1:
                self._keep(connection)
            else:
                writer.close()
            raise
        self._keep(connection)
        return found

    def _keep(self, connection: _Connection) -> None:
        if len(self._idle) < self._most_idle:
            self._idle.append((connection, asyncio.get_running_loop().time()))
        else:
            connection[1].close()

    async def _opened(self) -> _Connection:
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


def _written(words: Sequence[Word]) -> bytes:
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
        raise RedisRefusal(rest.decode("utf-8", "replace"))
    if kind == b":":
        return int(rest)
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else (await reader.readexactly(size + 2))[:-2]
    if kind == b"*":
        return [await _read(reader) for _ in range(int(rest))]
    raise ValueError("it does not speak Redis's protocol")
