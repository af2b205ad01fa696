"""A Redis server that sentinels watch over: they say which of several is the master now.

https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

import asyncio
from collections.abc import Sequence

from msgspec import structs

from tollkeeper.core.ids import Clock
from tollkeeper.routes.redis_client import Answer, Place, Redis, RedisError, RedisRefusal, Resolve, Word

_FRESH = 1.0
"""Seconds after which the sentinels are asked again while the master that is known answers."""


class RedisSentinel:
    """`name`: the master's, as the sentinels know it; `place`: how it is entered, wherever it is."""

    def __init__(self, sentinels: Sequence[Place], name: str, place: Place, resolve: Resolve, monotonic: Clock) -> None:
        self._sentinels = [Redis(each, resolve) for each in sentinels]
        self._name = name
        self._place = place
        self._resolve = resolve
        self._monotonic = monotonic
        self._master: Redis | None = None
        self._at: tuple[str, int] | None = None
        self._asked_at = 0.0
        self._asking: asyncio.Task[Redis] | None = None

    async def on(self, key: str, *words: Word) -> Answer:
        """As `redis_client.Keyed` has it. A master that is away or was taken down is looked for once more."""
        master = self._master
        if master is None:
            master = await self._found()
        elif self._monotonic() - self._asked_at > _FRESH:
            self._ask()
        try:
            return await master.run(*words)
        except RedisError as error:
            if isinstance(error, RedisRefusal) and "READONLY" not in error.said:
                raise
            found = await self._found()
            if found is master:
                raise
        return await found.run(*words)

    async def close(self) -> None:
        """As `redis_client.Redis.close`."""
        if self._asking is not None:
            self._asking.cancel()
        for each in [*self._sentinels, self._master]:
            if each is not None:
                await each.close()

    async def _found(self) -> Redis:
        return await asyncio.shield(self._ask())

    def _ask(self) -> "asyncio.Task[Redis]":
        """Whoever wants to know meanwhile waits for the same answer."""
        if self._asking is None or self._asking.done():
            self._asked_at = self._monotonic()
            self._asking = asyncio.get_running_loop().create_task(self._look())
            self._asking.add_done_callback(_heard)
        return self._asking

    async def _look(self) -> Redis:
        error = RedisError(f"No sentinel of Redis knows a master named {self._name}.")
        for sentinel in list(self._sentinels):
            try:
                said = await sentinel.run("SENTINEL", "get-master-addr-by-name", self._name)
            except RedisError as failed:
                error = failed
                continue
            match said:
                case [bytes(host), bytes(port)] if port.isdigit():
                    self._sentinels.remove(sentinel)
                    self._sentinels.insert(0, sentinel)  # the next question is for the one that answers
                    return await self._entered(host.decode("utf-8", "replace"), int(port))
        raise error

    async def _entered(self, host: str, port: int) -> Redis:
        if self._master is not None and self._at == (host, port):
            return self._master
        if self._master is not None:
            await self._master.close()
        self._at = host, port
        self._master = Redis(structs.replace(self._place, host=host, port=port), self._resolve)
        return self._master


def _heard(asked: "asyncio.Task[Redis]") -> None:
    """Nobody may be waiting: the master that is known stays then."""
    if not asked.cancelled():
        asked.exception()
