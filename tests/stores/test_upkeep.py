"""Upkeep: the log stays short, events are summed and old ones end, while holds and ends go on."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.ledgers import Other, opened, until
from kit.records import NOW, ending, event, hold
from tollkeeper.core.errors import GateError
from tollkeeper.stores.sqlite import upkeep as module
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.upkeep import Upkeep

DAY = 86_400_000


class Clocks:
    """Moved by the test."""

    def __init__(self) -> None:
        self.unix = NOW / 1000
        self.monotonic = 0.0

    def go_on(self, seconds: float) -> None:
        self.unix += seconds
        self.monotonic += seconds


@contextlib.asynccontextmanager
async def kept(store: Path, ledger: SqliteLedger, clocks: Clocks, said: list[str]) -> AsyncIterator[Upkeep]:
    upkeep = Upkeep(store, ledger, 100, lambda: clocks.unix, lambda: clocks.monotonic, said.append)
    yield upkeep
    await upkeep.close()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.02)


def _fresh(other: Other) -> int:
    return int(other.connection.execute("SELECT count(*) FROM fresh").fetchone()[0])


def test_events_are_summed_soon_and_the_lag_says_so(store: Path, other: Other, troubles: list[str]) -> None:
    clocks = Clocks()

    async def go() -> None:
        async with opened(store, troubles) as ledger, kept(store, ledger, clocks, troubles) as upkeep:
            clocks.monotonic = 50.0
            assert upkeep.lag == 50
            for _ in range(700):
                ledger.settle(event())
            assert await until(30, lambda: other.counts() == (0, 700))
            upkeep.start()
            assert await until(30, lambda: _fresh(other) == 0 and upkeep.lag == 0)

    asyncio.run(go())
    assert [row.requests for row in other.reports.usage("key")] == [700]
    assert troubles == []


def test_old_detail_ends_by_whole_days_and_its_sums_stay(store: Path, other: Other, troubles: list[str]) -> None:
    clocks = Clocks()
    young, old = event(started_at=NOW), event(started_at=NOW - DAY)

    async def go() -> None:
        async with opened(store, troubles) as ledger, kept(store, ledger, clocks, troubles) as upkeep:
            for one in (young, old, *(event(started_at=NOW - 50 * DAY) for _ in range(600))):
                ledger.settle(one)
            await ledger.hold(hold(started_at=NOW - 50 * DAY))
            await upkeep.round()
            assert other.counts() == (1, 602)
            clocks.go_on(100 * 86_400 + 3_600)
            await upkeep.round()
            assert other.counts() == (1, 1)
            ledger.settle(event(started_at=NOW - 50 * DAY))
            assert await until(30, lambda: other.counts() == (1, 2))
            clocks.go_on(30)
            await upkeep.round()
            assert other.counts() == (1, 2)  # it is looked for once a minute
            clocks.go_on(31)
            await upkeep.round()

    asyncio.run(go())
    assert other.counts() == (1, 1)
    assert other.reports.events() == [young]
    assert [row.requests for row in other.reports.usage("key")] == [603]
    assert {row.group: row.requests for row in other.reports.usage("day")} == {
        "2026-01-01": 1,
        "2025-12-31": 1,
        "2025-11-12": 601,
    }
    assert other.reports.totals()[0] == 603


def test_a_clock_that_is_set_far_ahead_for_a_while_takes_no_detail(
    store: Path, other: Other, troubles: list[str]
) -> None:
    clocks = Clocks()

    async def go() -> None:
        async with opened(store, troubles) as ledger, kept(store, ledger, clocks, troubles) as upkeep:
            ledger.settle(event(started_at=NOW))
            assert await until(30, lambda: other.counts() == (0, 1))
            clocks.unix += 500 * 86_400
            for _ in range(3):
                clocks.go_on(7 * 3600)
                await upkeep.round()
            assert other.counts() == (0, 1)
            clocks.unix -= 500 * 86_400
            clocks.go_on(10 * 3600)
            await upkeep.round()
            clocks.unix += 500 * 86_400
            for _ in range(3):
                clocks.go_on(7 * 3600)
                await upkeep.round()
            assert other.counts() == (0, 1)
            clocks.go_on(11 * 3600)
            await upkeep.round()

    asyncio.run(go())
    assert other.counts() == (0, 0)  # it has stood there for a day: then that is the time
    assert [row.requests for row in other.reports.usage("key")] == [1]


def test_the_log_begins_again_while_calls_go_on(
    store: Path, other: Other, troubles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHECKPOINT_ROWS", 200)
    sizes: list[int] = []

    async def go() -> None:
        async with opened(store, troubles) as ledger, kept(store, ledger, Clocks(), troubles) as upkeep:
            upkeep.start()
            for _ in range(1000):
                held = hold()
                await ledger.hold(held)
                ledger.settle(ending(held))
                sizes.append(ledger.log_bytes)
            assert await until(30, lambda: other.counts() == (0, 1000) and _fresh(other) == 0)

    asyncio.run(go())
    assert troubles == []
    assert max(sizes) < 5_000_000  # some 10 MB pass through it
    assert max(sizes[500:]) == sizes[-1]
    assert [row.requests for row in other.reports.usage("key")] == [1000]


def test_a_reader_that_stays_keeps_the_log_but_stops_nothing(
    store: Path, other: Other, troubles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHECKPOINT_ROWS", 50)

    async def go() -> None:
        async with opened(store, troubles) as ledger, kept(store, ledger, Clocks(), troubles) as upkeep:
            upkeep.start()
            other.connection.execute("BEGIN")
            assert other.counts() == (0, 0)
            for _ in range(300):
                held = hold()
                await ledger.hold(held)
                ledger.settle(ending(held))
            assert other.counts() == (0, 0)
            other.connection.execute("COMMIT")
            assert await until(30, lambda: other.counts() == (0, 300) and _fresh(other) == 0)

    asyncio.run(go())
    assert troubles == []


def test_upkeep_that_fails_says_so_once_and_again_when_it_works(store: Path, other: Other, troubles: list[str]) -> None:
    said: list[str] = []

    async def go() -> None:
        async with opened(store, troubles) as ledger, kept(store, ledger, Clocks(), said) as upkeep:
            ledger.settle(event())
            other.refuse("sums")
            upkeep.start()
            assert await until(30, lambda: said == ["the disk is full"])
            await ledger.hold(hold())
            await asyncio.sleep(0.1)
            other.allow()
            assert await until(30, lambda: said == ["the disk is full", ""])

    asyncio.run(go())
    assert troubles == []
    assert _fresh(other) == 0


def test_a_turn_while_the_ledger_cannot_be_written_is_refused(store: Path, other: Other, troubles: list[str]) -> None:
    async def go() -> None:
        async with opened(store, troubles) as ledger:
            other.refuse("events")
            ledger.settle(event())
            assert await until(30, lambda: not ledger.healthy)
            with pytest.raises(sqlite3.OperationalError, match="cannot be written"):
                await ledger.turn(lambda writer: None)
            other.allow()
            assert await until(30, lambda: ledger.healthy)
            await ledger.turn(lambda writer: None)

    asyncio.run(go())


@pytest.mark.parametrize("name", ["tollkeeper.db", "tollkeeper.db-wal"])
def test_files_that_are_taken_away_stop_the_ledger_until_they_are_back(
    store: Path, other: Other, troubles: list[str], name: str
) -> None:
    async def go() -> None:
        async with opened(store, troubles) as ledger, kept(store, ledger, Clocks(), troubles) as upkeep:
            ledger.settle(event())
            assert await until(30, lambda: other.counts() == (0, 1))
            upkeep.start()
            (store / name).rename(store / "elsewhere")
            (store / name).write_bytes((store / "elsewhere").read_bytes())
            assert await until(30, lambda: not ledger.healthy)
            for _ in range(2):
                with pytest.raises(GateError) as refused:
                    await ledger.hold(hold())
                assert refused.value.code == "ledger_unavailable"
            ledger.settle(event())
            (store / "elsewhere").rename(store / name)
            assert await until(30, lambda: ledger.healthy)
            await ledger.hold(hold())

    asyncio.run(go())
    assert len(troubles) == 2
    assert "removed or replaced" in troubles[0]
    assert other.counts() == (1, 2)
