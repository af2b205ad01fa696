"""Requests under way that several gates count together, in a real Redis server."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from kit.redis import redis_server
from tollkeeper.routes.redis_client import Place, Redis
from tollkeeper.routes.shared_places import SharedPlaces


async def here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def test_two_gates_share_places_and_those_of_a_gate_that_died_are_free_again(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        clients = [Redis(Place(host="redis.test", port=port, password="secret", seconds=20.0), here) for _ in range(2)]
        one, other = (SharedPlaces(client, 600) for client in clients)
        assert [await one.enter("k", "a", 2), await other.enter("k", "b", 2)] == [1, 2]
        assert [await one.enter("k", "c", 2), await other.enter("elsewhere", "c", 2)] == [None, 1]
        await other.leave("k", "c")  # it has no place: nobody loses theirs
        assert await one.enter("k", "c", 2) is None
        await other.leave("k", "a")
        assert await one.enter("k", "c", 2) == 2

        brief = SharedPlaces(clients[0], 0.05)
        await brief.enter("left", "a", 2)
        await one.enter("left", "b", 2)
        for _ in range(400):
            if await brief.enter("left", "c", 2) is not None:
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("the place of who is gone was never free")
        for client in clients:
            await client.close()

    with redis_server(tmp_path, "secret") as port:
        asyncio.run(scenario(port))
