"""Refusals are written in the ledger's turns, and however many come, only so many are kept."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from kit.ledgers import Other, opened, until
from kit.records import NOW, hold, request_id
from tollkeeper.core.refusals import Refusal
from tollkeeper.stores.sqlite import refusals
from tollkeeper.stores.sqlite.refusals import RefusalBounds, Refusals

FAST = RefusalBounds(refusals_per_second=1_000_000)


def refusal(number: int = 0) -> Refusal:
    return Refusal(
        request_id=request_id(NOW),
        at=NOW + number,
        key_id="key_1",
        operation="chat",
        model_asked="m",
        status=429,
        code="rate_limit_exceeded",
        message="Too many.",
        notes="[]",
    )


def kept(other: Other) -> list[int]:
    return [row[0] for row in other.connection.execute("SELECT at FROM refusals ORDER BY number")]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def nowhere(work: Callable[[sqlite3.Connection], None]) -> None:
    """A ledger that cannot be written."""
    raise sqlite3.OperationalError("disk I/O error")


def test_it_is_found_by_its_request_a_moment_later(store: Path, other: Other) -> None:
    one = refusal()

    async def go() -> None:
        async with opened(store) as ledger:
            taken = Refusals(FAST, ledger.turn, Clock())
            taken.add(one)
            assert await until(30, lambda: kept(other) == [NOW])
            await taken.close()

    asyncio.run(go())
    assert refusals.find(other.connection, one.request_id) == one
    assert refusals.find(other.connection, request_id(NOW)) is None


def test_they_ride_beside_holds_and_close_loses_none(store: Path, other: Other) -> None:
    async def go() -> None:
        async with opened(store) as ledger:
            taken = Refusals(FAST, ledger.turn, Clock())
            for number in range(20):
                taken.add(refusal(number))
                await ledger.hold(hold())
            await taken.close()
            await taken.close()

    asyncio.run(go())
    assert kept(other) == [NOW + number for number in range(20)]
    assert other.counts() == (20, 0)


def test_so_many_a_second_are_kept_and_the_others_counted(store: Path, other: Other) -> None:
    clock = Clock()

    async def go() -> None:
        async with opened(store) as ledger:
            taken = Refusals(RefusalBounds(refusals_per_second=50), ledger.turn, clock)
            for number in range(10_000):
                taken.add(refusal(number))
            assert taken.unwritten == 9_950
            clock.now += 0.1
            for number in range(10):
                taken.add(refusal(20_000 + number))
            assert taken.unwritten == 9_955
            await taken.close()

    asyncio.run(go())
    assert kept(other) == [NOW + number for number in (*range(50), *range(20_000, 20_005))]


def test_none_are_kept_where_none_may_be(store: Path, other: Other) -> None:
    async def go() -> None:
        async with opened(store) as ledger:
            taken = Refusals(RefusalBounds(refusals_per_second=0), ledger.turn, Clock())
            taken.add(refusal())
            assert taken.unwritten == 1
            await taken.close()

    asyncio.run(go())
    assert kept(other) == []


def test_the_oldest_go_when_there_are_too_many(store: Path, other: Other) -> None:
    async def go() -> None:
        async with opened(store) as ledger:
            taken = Refusals(RefusalBounds(refusals_per_second=1000, refusals_kept=10), ledger.turn, Clock())
            for begin in (0, 7, 14):
                for number in range(begin, begin + 7):
                    taken.add(refusal(number))
                assert await until(30, lambda last=begin + 6: kept(other)[-1:] == [NOW + last])
            await taken.close()

    asyncio.run(go())
    assert kept(other) == [NOW + number for number in range(11, 21)]


def test_while_nothing_can_be_written_few_wait_and_they_are_written_when_it_can(store: Path, other: Other) -> None:
    async def go() -> None:
        async with opened(store) as ledger:
            taken = Refusals(FAST, nowhere, Clock())
            for number in range(5000):
                taken.add(refusal(number))
            await taken.close()
            assert taken.unwritten == 4000
            taken._turn = ledger.turn
            taken.add(refusal(6000))
            assert taken.unwritten == 4001
            await taken.close()

    asyncio.run(go())
    assert kept(other) == [NOW + number for number in range(1000)]


def test_a_row_that_cannot_be_put_in_takes_no_other_with_it(store: Path, other: Other) -> None:
    one, two = refusal(1), refusal(2)
    with contextlib.closing(sqlite3.connect(store / "tollkeeper.db", isolation_level=None)) as connection:
        refusals.put(connection, [one, two, one], 100)
        refusals.put(connection, [two], 100)

    assert kept(other) == [NOW + 1, NOW + 2]
