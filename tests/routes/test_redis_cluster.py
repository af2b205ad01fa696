"""A real cluster of Redis servers: each key's own server is asked, also where the key has moved or servers are away."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kit.redis import PASSWORD, redis_cluster, said
from kit.servers import free_port
from tollkeeper.core.errors import UpstreamError
from tollkeeper.routes.redis_client import Place, RedisError
from tollkeeper.routes.redis_cluster import RedisCluster, slot_of
from tollkeeper.routes.shared_windows import SharedWindows


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[int]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


async def here(host: str, port: int) -> Sequence[str]:
    return [host]


def client(*ports: int, password: str = PASSWORD) -> RedisCluster:
    return RedisCluster([Place(host="127.0.0.1", port=port, password=password, seconds=20.0) for port in ports], here)


def key_of(ports: Sequence[int], number: int, name: str) -> str:
    """A key that is the server's of that number."""
    return next(f"{name}{each}" for each in range(1000) if slot_of(f"{name}{each}") * 3 // 16384 == number)


def test_slots_are_redis_own(ports: Sequence[int]) -> None:
    for key in ("123456789", "a", "{user}.x", "{}x", "x{", "x{a}{b}", "ä", ""):
        assert str(slot_of(key)) in said(ports[0], "CLUSTER", "KEYSLOT", key)
    assert slot_of("{user1000}.following") == slot_of("user1000")


def test_two_gates_count_together_wherever_a_key_is(ports: Sequence[int]) -> None:
    async def scenario() -> None:
        one, other = client(ports[0]), client(*ports[1:])
        windows = [SharedWindows(one), SharedWindows(other, sliding=False)]
        for number in range(3):
            key = key_of(ports, number, "count")
            found = await asyncio.gather(*(windows[each % 2].take(key, 3, 600.0) for each in range(6)))
            assert sorted(passes for passes, _, _ in found) == [False] * 3 + [True] * 3
        await one.close()
        await other.close()

    asyncio.run(scenario())
    assert [said(port, "KEYS", "count*").strip() != "" for port in ports] == [True] * 3


def test_a_key_is_found_while_it_moves_and_after(ports: Sequence[int]) -> None:
    key = key_of(ports, 0, "moves")
    slot = str(slot_of(key))
    names = [said(port, "CLUSTER", "MYID").strip() for port in ports]

    async def scenario() -> None:
        cluster = client(ports[2])
        assert await cluster.on(key, "PING") == b"PONG"
        said(ports[1], "CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
        said(ports[0], "CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
        assert await cluster.on(key, "INCR", key) == 1
        assert said(ports[1], "DBSIZE").strip() != "0"
        assert await cluster.on(key, "INCR", key) == 2
        for port in ports[1::-1]:
            said(port, "CLUSTER", "SETSLOT", slot, "NODE", names[1])
        assert await cluster.on(key, "INCR", key) == 3
        assert await cluster.on(key, "INCR", key) == 4
        with pytest.raises(RedisError, match="WRONGTYPE"):
            await cluster.on(key, "HGET", key, "x")
        await cluster.close()

    asyncio.run(scenario())


def test_who_is_away_fails_its_own_keys_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        with redis_cluster(tmp_path) as ports:
            cluster = client(free_port(), *ports)
            keys = [key_of(ports, number, "x") for number in range(3)]
            for key in keys:
                await cluster.on(key, "INCR", key)
            said(ports[1], "SHUTDOWN", "NOSAVE")
            assert await cluster.on(keys[0], "INCR", keys[0]) == 2
            assert await cluster.on(keys[2], "INCR", keys[2]) == 2
            with pytest.raises(RedisError):
                await cluster.on(keys[1], "INCR", keys[1])
        with pytest.raises(RedisError):
            await cluster.on(keys[0], "INCR", keys[0])
        await cluster.close()

    asyncio.run(scenario())


def test_a_server_that_may_not_be_reached_is_not(ports: Sequence[int]) -> None:
    async def but_one(host: str, port: int) -> Sequence[str]:
        if port == ports[1]:
            raise UpstreamError("not allowed")
        return [host]

    async def scenario() -> None:
        place = Place(host="127.0.0.1", port=ports[0], password=PASSWORD, seconds=20.0)
        cluster = RedisCluster([place], but_one)
        key = key_of(ports, 1, "x")
        with pytest.raises(RedisError, match="not allowed"):
            await cluster.on(key, "INCR", key)
        wrong = client(ports[0], password="wrong")
        with pytest.raises(RedisError, match="WRONGPASS"):
            await wrong.on("x", "PING")
        for each in (cluster, wrong):
            await each.close()

    asyncio.run(scenario())
