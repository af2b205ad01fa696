"""Counters that several gates share, in a real Redis server."""

import asyncio
from collections.abc import Iterator, Sequence

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


def client(port: int, password: str | None = PASSWORD, **more: int) -> Redis:
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
