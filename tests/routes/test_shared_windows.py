"""Counters that several gates share, in a real Redis server."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from kit.redis import redis_server
from tollkeeper.core.errors import UpstreamError
from tollkeeper.routes.redis_client import Place, Redis, RedisError
from tollkeeper.routes.shared_windows import SharedWindows

PASSWORD = "open sesame"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis"), PASSWORD) as found:
        yield found


async def here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def client(port: int, password: str | None = PASSWORD, **more: Any) -> Redis:
    return Redis(Place(host="redis.test", port=port, password=password, seconds=20.0, **more), here)


def test_two_gates_count_together_and_nothing_is_taken_beyond(port: int) -> None:
    async def scenario() -> None:
        one, other = client(port), client(port)
        windows = [SharedWindows(one), SharedWindows(other)]
        found = await asyncio.gather(*(windows[number % 2].take("a", 5, 600.0) for number in range(12)))
        assert sorted(passes for passes, _, _ in found) == [False] * 7 + [True] * 5
        assert sorted(left for passes, left, _ in found if passes) == [0, 1, 2, 3, 4]
        assert all(0 < reset <= 600 for _, _, reset in found)
        assert (await windows[0].take("a", 9, 600.0, 4))[:2] == (True, 0)
        assert (await windows[1].take("b", 5, 600.0))[:2] == (True, 4)
        await one.close()
        await other.close()

    asyncio.run(scenario())


def test_a_window_ends(port: int) -> None:
    async def scenario() -> None:
        redis = client(port)
        windows = SharedWindows(redis)
        await windows.take("short", 1, 0.05)
        for _ in range(400):
            if (await windows.take("short", 1, 0.05))[0]:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the window never ended")
        await redis.close()

    asyncio.run(scenario())


def test_a_window_slides_for_two_gates_together(port: int) -> None:
    async def scenario() -> None:
        one, other = client(port), client(port)
        windows = [SharedWindows(each, sliding=True) for each in (one, other)]
        found = await asyncio.gather(*(windows[number % 2].take("slides", 4, 1e6) for number in range(6)))
        assert sorted(passes for passes, _, _ in found) == [False] * 2 + [True] * 4
        assert all(0 < reset <= 1e6 for _, _, reset in found)
        # What was used in the window before counts for the part that is still covered.
        length = 1_000_000
        now: Any = await one.run("TIME")
        began = int(now[0]) // length * length * 1000
        await one.run("HSET", "before", "began", began - length * 1000, "used", 1000, "before", 0)
        passes, left, reset = await windows[0].take("before", 1000, length)
        covered = 1000 * (reset / length)
        assert passes
        assert abs(left - (999 - covered)) <= 1
        await one.run("HSET", "long", "began", began - 2 * length * 1000, "used", 1000, "before", 1000)
        assert (await windows[1].take("long", 1000, length))[:2] == (True, 999)
        kept: Any = await one.run("PTTL", "long")
        assert 0 < kept <= 2 * length * 1000
        await one.close()
        await other.close()

    asyncio.run(scenario())


def test_a_connection_is_not_kept_longer_than_it_may_be(port: int) -> None:
    async def scenario() -> None:
        brief, kept = client(port, idle_seconds=0.0), client(port)
        for redis, same in ((brief, False), (kept, True)):
            ids = [await redis.run("CLIENT", "ID") for _ in range(2)]
            assert (ids[0] == ids[1]) is same
            await redis.close()
            assert await redis.run("CLIENT", "ID") not in ids

    asyncio.run(scenario())


def test_every_kind_of_answer_is_read_and_a_refusal_spoils_nothing(port: int) -> None:
    async def scenario() -> None:
        redis = client(port, database=3)
        assert await redis.run("SET", "k", "1" * 100_000) == b"OK"
        assert await redis.run("GET", "k") == b"1" * 100_000
        assert await redis.run("GET", "missing") is None
        assert await redis.run("EVAL", "return {1, {'a', false}}", 0) == [1, [b"a", None]]
        with pytest.raises(RedisError, match="ERR"):
            await redis.run("NONSENSE")
        assert await redis.run("DEL", "k") == 1
        await redis.close()

    asyncio.run(scenario())


def test_who_is_not_let_in_or_finds_nobody_is_told_so(port: int) -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise UpstreamError("not allowed")

    async def scenario() -> None:
        for redis, why in (
            (client(port, None), "NOAUTH"),
            (client(port, "wrong"), "WRONGPASS"),
            (client(1), "redis.test"),
            (Redis(Place(host="x", port=port), nowhere), "not allowed"),
        ):
            with pytest.raises(RedisError, match=why):
                await redis.run("PING")
            await redis.close()

    asyncio.run(scenario())
