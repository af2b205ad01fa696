"""The ledger in trouble: whoever else writes, and when nothing can be written, nothing that ended is lost."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from kit.ledgers import Other, opened, until
from kit.records import ending, event, hold
from kit.vitals import becomes
from tollkeeper.core.errors import GateError
from tollkeeper.stores.sqlite.ledger import SqliteLedger

FILES = Path("/proc/self/fd")


def logs_open() -> int:
    """Of all stores, by this process. A store itself stays open while anybody in the process has a lock on it."""
    found = 0
    for name in os.listdir(FILES):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(FILES / name).endswith("-wal")
    return found


def test_another_process_that_writes_delays_but_loses_nothing(store: Path, other: Other, troubles: list[str]) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            before = hold()
            await ledger.hold(before)
            ticking = asyncio.ensure_future(tick())
            other.connection.execute("BEGIN IMMEDIATE")
            ledger.settle(ending(before))
            waiting = [asyncio.ensure_future(ledger.hold(hold())) for _ in range(5)]
            await asyncio.sleep(2)
            assert not any(one.done() for one in waiting)
            other.connection.execute("COMMIT")
            await asyncio.wait_for(asyncio.gather(*waiting), 30)
            ticking.cancel()
            assert other.counts() == (5, 1)

    asyncio.run(go())
    assert ticks > 20  # the event loop went on meanwhile
    assert troubles == []


def test_holds_are_refused_while_the_store_cannot_be_written_and_then_taken_again(
    store: Path, other: Other, troubles: list[str]
) -> None:
    async def go() -> None:
        async with opened(store, troubles) as ledger:
            other.refuse("holds")
            for _ in range(2):
                with pytest.raises(GateError) as refused:
                    await ledger.hold(hold())
                assert (refused.value.status, refused.value.code) == (503, "ledger_unavailable")
                assert b"retry-after" in dict(refused.value.headers)
            assert not ledger.healthy
            assert troubles == ["the disk is full"]
            other.allow()
            assert await until(30, lambda: ledger.healthy)  # nobody need ask
            await ledger.hold(hold())
            assert ledger.healthy
            assert troubles == ["the disk is full", ""]

    asyncio.run(go())
    assert other.counts() == (1, 0)


def test_ends_are_kept_while_the_store_cannot_be_written_and_written_by_themselves_later(
    store: Path, other: Other, troubles: list[str]
) -> None:
    holds = [hold() for _ in range(50)]
    ends = [ending(one) for one in holds[:40]]

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            await asyncio.gather(*(ledger.hold(one) for one in holds))
            other.refuse("events")
            for one in ends:
                ledger.settle(one)
                ledger.settle(one)
                await asyncio.sleep(0.001)
            for held in holds[40:]:
                ledger.release(held.request_id, held.attempt)
            assert await until(30, lambda: not ledger.healthy)
            assert other.counts() == (50, 0)
            other.allow()
            assert await until(30, lambda: ledger.healthy and other.counts() == (0, 40))

    asyncio.run(go())
    assert sorted(other.every_event(), key=lambda found: found.request_id) == ends
    assert troubles == ["the disk is full", ""]


def test_a_ledger_that_cannot_write_its_last_ends_says_so_when_it_is_closed(
    store: Path, other: Other, troubles: list[str]
) -> None:
    async def go() -> bool:
        ledger = SqliteLedger(store, troubles.append)
        other.refuse("events")
        ledger.settle(event())
        return await ledger.close(0.3)

    assert asyncio.run(go()) is False
    assert other.counts() == (0, 0)


@pytest.mark.skipif(not FILES.exists(), reason="no /proc here")
def test_a_ledger_that_is_closed_while_it_waits_for_another_process_closes_its_files_when_it_has_written(
    store: Path, other: Other, troubles: list[str]
) -> None:
    assert other.counts() == (0, 0)
    before = logs_open()

    async def go() -> bool:
        ledger = SqliteLedger(store, troubles.append)
        other.connection.execute("BEGIN IMMEDIATE")
        ledger.settle(event())
        await asyncio.sleep(0.05)
        closed = await ledger.close(0)
        other.connection.execute("COMMIT")
        return closed

    assert asyncio.run(go()) is False
    assert becomes(lambda: logs_open() == before)
    assert other.counts() == (0, 1)


def test_a_hold_whose_caller_was_cancelled_does_not_stay(store: Path, other: Other, troubles: list[str]) -> None:
    async def go() -> None:
        async with opened(store, troubles) as ledger:
            other.connection.execute("BEGIN IMMEDIATE")
            waiting = asyncio.ensure_future(ledger.hold(hold()))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.sleep(0)
            other.connection.execute("COMMIT")

    asyncio.run(go())
    assert other.counts() == (0, 0)


def test_nothing_piles_up_while_the_store_cannot_be_written(store: Path, other: Other, troubles: list[str]) -> None:
    async def go() -> None:
        async with opened(store, troubles) as ledger:
            other.connection.execute("ALTER TABLE holds RENAME TO away")
            for _ in range(50):
                with pytest.raises(GateError):
                    await ledger.hold(hold())
            assert ledger.queued == 0
            other.connection.execute("ALTER TABLE away RENAME TO holds")
            assert await until(30, lambda: ledger.healthy)

    asyncio.run(go())
    assert len(troubles) == 2
