"""A cluster of Redis servers: each key has its slot, each slot its server, and a server says where a key went.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
from binascii import crc_hqx
from collections.abc import Sequence
from contextlib import suppress

from msgspec import structs

from tollkeeper.routes.redis_client import Answer, Place, Redis, RedisError, RedisRefusal, Resolve, Word

_SLOTS = 16384
_MOST_HOPS = 5
Address = tuple[str, int]


class RedisCluster:
    """`places`: servers of it that are asked who the others are; the first one's credentials hold for all."""

    def __init__(self, places: Sequence[Place], resolve: Resolve) -> None:
        self._resolve = resolve
        self._any = places[0]
        self._servers: dict[Address, Redis] = {}
        self._known: tuple[Address, ...] = tuple((place.host, place.port) for place in places)
        self._owners: list[Address | None] = [None] * _SLOTS
        self._learning: asyncio.Task[None] | None = None

    async def on(self, key: str, *words: Word) -> Answer:
        """As `redis_client.Keyed` has it."""
        slot = slot_of(key)
        address, asking, learned = self._owners[slot], False, False
        for _ in range(_MOST_HOPS):
            if address is None:
                if learned:
                    raise RedisError("No server of the Redis cluster has this key now.")
                learned = True
                await self._learn()
                address = self._owners[slot]
                continue
            try:
                return await self._server(address).run(*words, asking=asking)
            except RedisRefusal as refusal:
                kind, _, rest = refusal.said.partition(" ")
                if kind not in ("MOVED", "ASK"):
                    raise
                asking = kind == "ASK"
                address = _address(rest.rpartition(" ")[2], address[0])
                if not asking and not learned:
                    learned = True
                    with suppress(RedisError):  # where this key went is known
                        await self._learn()
                    self._owners[slot] = address
            except RedisError:
                if learned:
                    raise
                learned = True
                await self._learn(besides=address)
                if self._owners[slot] == address:
                    raise
                address = self._owners[slot]
        raise RedisError("The servers of the Redis cluster send each other's keys round.")

    async def close(self) -> None:
        """As `redis_client.Redis.close`."""
        if self._learning is not None:
            self._learning.cancel()
        for server in self._servers.values():
            await server.close()

    async def _learn(self, besides: Address | None = None) -> None:
        """Asks who has what; whoever wants to know meanwhile waits for the same answer. Raises RedisError."""
        if self._learning is None or self._learning.done():
            self._learning = asyncio.get_running_loop().create_task(self._ask_around(besides))
        await asyncio.shield(self._learning)

    async def _ask_around(self, besides: Address | None) -> None:
        error = RedisError("No server of the Redis cluster could be asked.")
        for address in sorted({*self._servers, *self._known}, key=lambda each: each == besides):
            try:
                said = await self._server(address).run("CLUSTER", "SLOTS")
                owners = _owners(said, address[0])
            except RedisError as failed:
                error = failed
                continue
            self._owners = owners
            used = {*self._known, *owners}
            for gone in [each for each in self._servers if each not in used]:
                await self._servers.pop(gone).close()
            return
        raise error

    def _server(self, address: Address) -> Redis:
        found = self._servers.get(address)
        if found is None:
            place = structs.replace(self._any, host=address[0], port=address[1])
            found = self._servers[address] = Redis(place, self._resolve)
        return found


def slot_of(key: str) -> int:
    """Of what stands between the first { and the next }, if anything does, else of all of it."""
    data = key.encode("utf-8", "surrogateescape")
    _, opened, rest = data.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    return crc_hqx(tag if opened and closed and tag else data, 0) % _SLOTS


def _address(text: str, host: str) -> Address:
    """`HOST:PORT`; `host` where none is named: who says so means itself. Raises RedisError."""
    named, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise RedisError("Redis answers something else than was asked for.")
    return named if named not in ("", "?") else host, int(port)


def _owners(said: Answer, host: str) -> list[Address | None]:
    """By slot, out of what CLUSTER SLOTS answers: [first, last, [host, port, ...], replicas ...] and so on."""
    owners: list[Address | None] = [None] * _SLOTS
    for each in said if isinstance(said, list) else ():
        match each:
            case [int(first), int(last), [named, int(port), *_], *_] if 0 <= first <= last < _SLOTS:
                name = named.decode("utf-8", "replace") if isinstance(named, bytes) else ""
                owners[first : last + 1] = [(name if name not in ("", "?") else host, port)] * (last + 1 - first)
            case _:
                raise RedisError("Redis answers something else than was asked for.")
    return owners
