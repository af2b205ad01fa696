"""Ids of what providers keep: found at once, found after a restart, kept as long as the events are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from kit.ledgers import Other, opened, until
from kit.records import NOW
from tollkeeper.core.origin import Origin
from tollkeeper.stores.sqlite.origins import SqliteOrigins
from tollkeeper.stores.sqlite.retention import delete_old

DAY = 86_400_000
A, B = Origin("a", "team:red", "key_1"), Origin("b")


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
            first.remember(["resp_1", "conv_1"], A, lasting=False)
            first.remember([], B, lasting=False)
            assert first.find(["resp_1", "conv_1", "other"]) == {"resp_1": A, "conv_1": A}
        async with origins(home) as again:
            assert again.find(["resp_1"]) == {"resp_1": A}
            again.remember(["resp_1"], B, lasting=False)
        async with origins(home) as last:
            assert last.find(["resp_1"]) == {"resp_1": A}

    asyncio.run(go())


def test_it_knows_whether_there_are_any(home: Path) -> None:
    async def go() -> None:
        async with origins(home) as first:
            assert not first.any
            first.remember(["x"], B, lasting=False)
            assert first.any
        async with origins(home) as again:
            assert again.any

    asyncio.run(go())


def test_many_are_found_though_few_are_kept_in_memory(home: Path) -> None:
    async def go() -> None:
        async with origins(home) as found:
            for number in range(6000):
                found.remember([f"resp_{number}"], Origin(f"p{number % 3}"), lasting=False)
            other = Other(home)
            try:
                assert await until(
                    10, lambda: other.connection.execute("SELECT count(*) FROM origins").fetchone() == (6000,)
                )
            finally:
                other.close()
            asked = [f"resp_{number}" for number in range(6010)]
            assert {name: origin.account for name, origin in found.find(asked).items()} == {
                name: f"p{number % 3}" for number, name in enumerate(asked[:6000])
            }

    asyncio.run(go())


def test_what_passes_goes_with_old_events_and_what_lasts_when_it_is_deleted(home: Path) -> None:
    async def go() -> None:
        async with origins(home, NOW - 40 * DAY) as old:
            old.remember(["old"], A, lasting=False)
            old.remember(["file"], A, lasting=True)
        async with origins(home) as new:
            new.remember(["new"], A, lasting=False)
        other = Other(home)
        try:
            delete_old(other.connection, NOW, 30, 100)
        finally:
            other.close()
        async with origins(home) as left:
            assert left.find(["old", "file", "new"]) == {"file": A, "new": A}
            left.forget("file")
            assert left.find(["file"]) == {}
        async with origins(home) as last:
            assert last.find(["file", "new"]) == {"new": A}

    asyncio.run(go())
