"""Ids of what providers keep: found at once, found after a restart, kept as long as the events are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from kit.ledgers import Other, opened, until
from kit.records import NOW
from tollkeeper.stores.sqlite.origins import SqliteOrigins
from tollkeeper.stores.sqlite.retention import delete_old

DAY = 86_400_000


@contextlib.asynccontextmanager
async def origins(home: Path, now_ms: int = NOW) -> AsyncIterator[SqliteOrigins]:
    """Over a ledger that is closed, and so written, at the end."""
    home.mkdir(exist_ok=True)
    async with opened(home) as ledger:
        found = SqliteOrigins(home, ledger, lambda: now_ms / 1000)
        yield found
        found.close()


def test_an_id_is_known_at_once_and_after_a_restart_and_keeps_its_first_account(home: Path) -> None:
    async def go() -> None:
        async with origins(home) as first:
            first.remember(["resp_1", "conv_1"], "a")
            first.remember([], "b")
            assert [first.find("resp_1"), first.find("conv_1"), first.find("other")] == ["a", "a", None]
        async with origins(home) as again:
            assert again.find("resp_1") == "a"
            again.remember(["resp_1"], "b")
        async with origins(home) as last:
            assert last.find("resp_1") == "a"

    asyncio.run(go())


def test_many_are_found_though_few_are_kept_in_memory(home: Path) -> None:
    async def go() -> None:
        async with origins(home) as found:
            for number in range(6000):
                found.remember([f"resp_{number}"], f"p{number % 3}")
            other = Other(home)
            try:
                assert await until(
                    10, lambda: other.connection.execute("SELECT count(*) FROM origins").fetchone() == (6000,)
                )
            finally:
                other.close()
            assert [found.find(f"resp_{number}") for number in (0, 1, 5999)] == ["p0", "p1", "p2"]

    asyncio.run(go())


def test_old_ones_go_with_old_events(home: Path) -> None:
    async def go() -> None:
        async with origins(home, NOW - 40 * DAY) as old:
            old.remember(["old"], "a")
        async with origins(home) as new:
            new.remember(["new"], "a")
        other = Other(home)
        try:
            delete_old(other.connection, NOW, 30, 100)
        finally:
            other.close()
        async with origins(home) as left:
            assert (left.find("old"), left.find("new")) == (None, "a")

    asyncio.run(go())
