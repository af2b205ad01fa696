"""Counters in a real Redis server that is told now and then: a gate alone is exact, several learn of each other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from kit.redis import PASSWORD, redis_server, said
from tollkeeper.routes.delayed_windows import DelayedWindows
from tollkeeper.routes.redis_client import Place, Redis, RedisError
from tollkeeper.routes.shared_windows import SharedWindows


async def here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


class Gates:
    """Two that share a server; what they said went wrong."""

    def __init__(self, port: int, interval: float, *, sliding: bool = False) -> None:
        self.failed: list[str] = []
        place = Place(host="redis.test", port=port, password=PASSWORD, seconds=20.0)
        self.clients = [Redis(place, here) for _ in range(2)]
        self.one, self.other = (
            DelayedWindows(
                SharedWindows(client, sliding=sliding),
                interval,
                asyncio.get_running_loop().time,
                100,
                self.failed.append,
            )
            for client in self.clients
        )

    async def close(self) -> None:
        for client in self.clients:
            await client.close()


async def becomes(seen: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(600):
        if await seen():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it never became so")


def test_redis_is_asked_once_and_told_later_and_no_gate_alone_passes_its_limit(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        gates = Gates(port, 0.1)
        found = [await gates.one.take("k", 5, 600.0) for _ in range(7)]
        assert [(passes, left) for passes, left, _ in found] == [
            *((True, left) for left in (4, 3, 2, 1, 0)),
            *((False, 0) for _ in range(2)),
        ]
        assert all(0 < reset <= 600 for _, _, reset in found)

        async def told() -> bool:
            return said(port, "GET", "k").strip() == "5"

        await becomes(told)
        assert (await gates.other.take("k", 5, 600.0))[:2] == (False, 0)
        await gates.close()

    with redis_server(tmp_path) as port:
        asyncio.run(scenario(port))


def test_gates_learn_of_each_other_whatever_the_window(tmp_path: Path) -> None:
    async def scenario(port: int, *, sliding: bool) -> None:
        gates = Gates(port, 0.1, sliding=sliding)
        key = f"k{sliding}"
        for gate in (gates.one, gates.other):
            for _ in range(4):
                assert (await gate.take(key, 1000, 1e6))[0]

        async def knows() -> bool:
            _, left, _ = await gates.one.take(key, 1000, 1e6)
            passes, others, _ = await gates.other.take(key, 1000, 1e6)
            return passes and abs(left - others) <= 4 and left < 990

        await becomes(knows)
        await gates.close()

    with redis_server(tmp_path) as port:
        for sliding in (False, True):
            asyncio.run(scenario(port, sliding=sliding))


def test_while_redis_is_away_a_gate_counts_alone_and_a_new_window_is_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        with redis_server(tmp_path) as port:
            gates = Gates(port, 0.1)
            for _ in range(2):
                await gates.one.take("k", 3, 600.0)
        assert (await gates.one.take("k", 3, 600.0))[:2] == (True, 0)
        assert (await gates.one.take("k", 3, 600.0))[:2] == (False, 0)

        async def failed() -> bool:
            return len(gates.failed) > 1

        await becomes(failed)
        with pytest.raises(RedisError):
            await gates.one.take("new", 3, 600.0)
        await gates.close()

    asyncio.run(scenario())


def test_what_is_told_too_late_does_not_count_for_the_next_window(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        gates = Gates(port, 0.4)
        for _ in range(3):
            await gates.one.take("k", 5, 0.2)

        async def again() -> bool:
            passes, left, _ = await gates.one.take("k", 5, 600.0)
            return passes and left == 4

        await asyncio.sleep(0.5)
        await becomes(again)
        await gates.close()

    with redis_server(tmp_path) as port:
        asyncio.run(scenario(port))
