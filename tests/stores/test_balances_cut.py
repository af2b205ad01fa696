"""The cut: whatever is being written then, an event is in the sums or told of afterwards, never both, never neither."""

import asyncio
import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from kit.ledgers import Other, opened
from kit.records import NOW, ending, event, hold
from tollkeeper.core.budget import Slice, Spent
from tollkeeper.core.errors import GateError
from tollkeeper.core.events import Event
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.balances import SqliteBalances

EVERYTHING = Slice("all", None, 0, 1 << 62)
OF_KEY = Slice("key", "key_1", NOW, NOW + 1000)


def _sums(events: list[Event], key: str | None = None) -> Spent:
    among = [each for each in events if key is None or each.key_id == key]
    tokens = sum(each.usage.input_tokens + each.usage.output_tokens for each in among)
    return Spent(sum(each.cost_nano or 0 for each in among), tokens)


def test_every_event_is_before_the_cut_or_after_it(home: Path) -> None:
    draw = random.Random(4)
    home.mkdir()

    async def scenario() -> None:
        told: list[Event] = []
        async with opened(home) as ledger:
            ledger.on_event = told.append
            balances = SqliteBalances(home, ledger)
            running = True

            async def traffic() -> None:
                while running:
                    begun = hold(key_id=f"key_{draw.randrange(3)}")
                    await ledger.hold(begun)
                    if draw.random() < 0.3:
                        await asyncio.sleep(draw.random() / 500)
                    ledger.settle(ending(begun, key_id=begun.key_id, cost_nano=draw.randrange(1000)))

            async def another_process() -> None:
                """Takes the store's lock now and then, as one that makes keys does."""
                store = sqlite3.connect(home / "tollkeeper.db", isolation_level=None, timeout=0)
                while running:
                    with contextlib.suppress(sqlite3.OperationalError):
                        store.execute("BEGIN IMMEDIATE")
                        await asyncio.sleep(0.004)
                        store.execute("COMMIT")
                    await asyncio.sleep(0.004)
                store.close()

            callers = [asyncio.ensure_future(traffic()) for _ in range(8)]
            callers.append(asyncio.ensure_future(another_process()))
            different = set()
            for _ in range(150):
                before: list[Event] = []
                sums = await balances.spent([EVERYTHING, OF_KEY], lambda before=before: before.extend(told))  # type: ignore[misc]
                assert sums == [_sums(before), _sums(before, "key_1")]
                different.add(sums[0].nano)
                await asyncio.sleep(draw.random() / 300)
            running = False
            await asyncio.gather(*callers)
            balances.close()
            assert len(different) > 50

    asyncio.run(scenario())


def test_what_waits_to_be_written_is_in_the_sums(home: Path) -> None:
    home.mkdir()

    written: list[int] = []

    async def scenario() -> list[Spent]:
        async with opened(home) as ledger:
            balances, other = SqliteBalances(home, ledger), Other(home)
            assert await balances.spent([EVERYTHING], lambda: None) == [Spent(0, 0)]  # it has its connection now
            for cost in (1, 10, 100):
                ledger.settle(event(cost_nano=cost, usage=Usage(output_tokens=1)))
            sums = await balances.spent([EVERYTHING], lambda: written.append(other.counts()[1]))
            other.close()
            balances.close()
            return sums

    assert asyncio.run(scenario()) == [Spent(111, 3)]
    assert written == [0]  # all of them were waiting at the cut


def test_a_look_is_told_of_once_it_is_known_what_it_costs(home: Path) -> None:
    home.mkdir()

    async def scenario() -> list[int | None]:
        told: list[Event] = []
        async with opened(home) as ledger:
            ledger.on_event = told.append
            begun = [hold() for _ in range(3)]
            for each in begun:
                await ledger.hold(each)
            for each in begun:
                ledger.settle(ending(each, cost_nano=7), "resp_1", look=True)
            assert told == []
            await ledger.hold(hold())
            await asyncio.sleep(0.05)
            return [each.cost_nano for each in told]

    assert asyncio.run(scenario()) == [7, 0, 0]


def test_while_the_ledger_cannot_be_written_nothing_is_said(home: Path) -> None:
    home.mkdir()

    async def scenario() -> list[Spent]:
        async with opened(home) as ledger:
            balances = SqliteBalances(home, ledger)
            ledger.settle(event(cost_nano=5, usage=Usage()))
            other = Other(home)
            other.refuse("events")
            with pytest.raises(GateError):
                await ledger.hold(hold())
            with pytest.raises(GateError, match="cannot be written"):
                await balances.spent([EVERYTHING], lambda: None)
            other.allow()
            other.close()
            while not ledger.healthy:
                await asyncio.sleep(0.01)
            sums = await balances.spent([EVERYTHING], lambda: None)
            balances.close()
            return sums

    assert asyncio.run(scenario()) == [Spent(5, 0)]
