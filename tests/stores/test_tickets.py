"""A ticket is good once, for its time, for the key that it was made for: in memory and over every gate of a table."""

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest

from kit.dynamodb import moto, new_place, opened
from kit.sessions import KEY
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Tickets
from tollkeeper.sockets.tickets import MemoryTickets
from tollkeeper.stores.dynamodb.tickets import DynamoTickets


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as address:
        yield address


def keyed(key_id: str) -> Key | None:
    return KEY if key_id == KEY.id else None


async def followed(tickets: Tickets, wait: Callable[[], None]) -> None:
    first, seconds = await tickets.issue(KEY)
    second, _ = await tickets.issue(KEY)
    assert (seconds, first != second, first[:3]) == (30.0, True, "tt-")
    assert await asyncio.gather(tickets.redeem(first), tickets.redeem(first)) in ([KEY, None], [None, KEY])
    assert await tickets.redeem("tt-guess") is None
    assert await tickets.redeem("") is None
    wait()
    assert await tickets.redeem(second) is None


def test_in_memory() -> None:
    now = [0.0]
    asyncio.run(followed(MemoryTickets(lambda: now[0], os.urandom, lambda: 30.0), lambda: now.append(now.pop() + 31)))


def test_on_dynamodb(url: str) -> None:
    now = [1_000_000.0]

    async def on_table() -> None:
        async with opened(new_place(url)) as table:
            tickets = DynamoTickets(table, lambda: now[0], os.urandom, lambda: 30.0, keyed)
            await followed(tickets, lambda: now.append(now.pop() + 31))

    asyncio.run(on_table())
