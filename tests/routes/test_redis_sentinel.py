"""A real Redis master and its replica under a real sentinel: who is master now is asked, also after it has changed."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kit.redis import MASTER, PASSWORD, redis_watched, said
from kit.servers import free_port
from kit.vitals import becomes
from tollkeeper.routes.redis_client import Place, RedisError
from tollkeeper.routes.redis_sentinel import RedisSentinel


async def here(host: str, port: int) -> Sequence[str]:
    return [host]


async def until(seen: Callable[[], bool]) -> bool:
    """Whether it becomes so within a minute."""
    return await asyncio.to_thread(becomes, seen, 60)


def client(name: str, *ports: int, clock: Callable[[], float] = lambda: 0.0) -> RedisSentinel:
    sentinels = [Place(host="127.0.0.1", port=port, password="watching", seconds=20.0) for port in ports]
    return RedisSentinel(sentinels, name, Place(host="", port=0, password=PASSWORD, seconds=20.0), here, clock)


def test_counts_go_to_the_master_whoever_it_is(tmp_path: Path) -> None:
    async def scenario(sentinel: int, master: int, replica: int) -> None:
        times = itertools.count(step=2.0)
        redis, timeless = client(MASTER, free_port(), sentinel, clock=lambda: next(times)), client(MASTER, sentinel)
        assert set(await asyncio.gather(*(redis.on("k", "INCR", "k") for _ in range(3)))) == {1, 2, 3}
        assert await timeless.on("k", "INCR", "k") == 4
        assert said(master, "GET", "k").strip() == "4"
        assert await until(lambda: said(replica, "GET", "k").strip() == "4")

        assert await until(lambda: "OK" in said(sentinel, "SENTINEL", "failover", MASTER, password="watching"))
        asked = ("SENTINEL", "get-master-addr-by-name", MASTER)
        assert await until(lambda: str(replica) in said(sentinel, *asked, password="watching"))
        # The old master does not know yet that it is none.
        for _ in range(1000):
            await redis.on("late", "INCR", "late")
            if said(replica, "EXISTS", "late").strip() == "1":
                break
        else:
            pytest.fail("the new master was never asked")
        said(master, "REPLICAOF", "127.0.0.1", str(replica))
        assert await timeless.on("k", "INCR", "k") == 5
        assert said(replica, "GET", "k").strip() == "5"
        await timeless.close()
        await redis.close()

    with redis_watched(tmp_path) as ports:
        asyncio.run(scenario(*ports))


def test_a_master_that_no_sentinel_knows_is_told(tmp_path: Path) -> None:
    async def scenario(sentinel: int, master: int, replica: int) -> None:
        for redis, why in (
            (client("other", sentinel), "knows a master named other"),
            (client(MASTER, free_port()), "127.0.0.1"),
        ):
            with pytest.raises(RedisError, match=why):
                await redis.on("k", "INCR", "k")
            await redis.close()
        said(master, "SET", "text", "x")
        redis = client(MASTER, sentinel)
        with pytest.raises(RedisError, match="ERR"):
            await redis.on("text", "INCR", "text")
        said(master, "SHUTDOWN", "NOSAVE", "FORCE")
        with pytest.raises(RedisError):
            await redis.on("text", "INCR", "text")
        await redis.close()

    with redis_watched(tmp_path) as ports:
        asyncio.run(scenario(*ports))
