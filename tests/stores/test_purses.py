"""The contract of ledgers and balances, over every store; and budgets that many gates share in DynamoDB."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kit.dynamodb import moto, new_place, opened
from kit.records import ending, hold
from tollkeeper.core.budget import FOREVER, Slice, Spent, parse
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.ports import Balances
from tollkeeper.core.usage import Usage
from tollkeeper.stores.dynamodb.balances import DynamoBalances
from tollkeeper.stores.dynamodb.ledger import HOLDS, DynamoLedger, events_between
from tollkeeper.stores.dynamodb.purses import PurseOf
from tollkeeper.stores.dynamodb.table import Place
from tollkeeper.stores.sqlite.balances import SqliteBalances
from tollkeeper.stores.sqlite.keys import KeyStore
from tollkeeper.stores.sqlite.ledger import SqliteLedger

HOLD = hold(
    request_id="01a",
    started_at=1_000,
    expires_at=2_000,
    owner="ada",
    team="red",
    input_bound=10,
    held_nano=400,
    held_tokens=40,
)
ALWAYS = Slice("key", "key_1", 0, FOREVER)
Ledger = SqliteLedger | DynamoLedger
Opened = Callable[[], Any]


def event_of(held: Hold, nano: int = 300, tokens: int = 30) -> Event:
    return ending(held, usage=Usage(input_tokens=tokens), cost_nano=nano)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture
def place(url: str) -> Place:
    return new_place(url)


@pytest.fixture(params=["sqlite", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens a ledger and its balances; again, the same store."""
    if request.param == "sqlite":

        @asynccontextmanager
        async def sqlite() -> AsyncIterator[tuple[Ledger, Balances]]:
            KeyStore(tmp_path, lambda: 1.0, lambda size: bytes(size)).close()
            ledger = SqliteLedger(tmp_path, lambda trouble: None)
            balances = SqliteBalances(tmp_path, ledger)
            yield ledger, balances
            assert await ledger.close()
            balances.close()

        return sqlite
    place: Place = request.getfixturevalue("place")

    @asynccontextmanager
    async def dynamodb() -> AsyncIterator[tuple[Ledger, Balances]]:
        async with opened(place) as table:
            ledger = DynamoLedger(table, lambda record: (), _refuse, lambda trouble: None)
            yield ledger, DynamoBalances(table, ledger)
            assert await ledger.close()

    return dynamodb


def run(store: Opened, *steps: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Each step on the store opened anew."""

    async def all_of_them() -> None:
        for step in steps:
            async with store() as (ledger, balances):
                await step(ledger, balances)

    asyncio.run(all_of_them())


def test_an_event_is_charged_and_found_again(store: Opened) -> None:
    async def write(ledger: Ledger, balances: Balances) -> None:
        await ledger.hold(HOLD)
        ledger.settle(event_of(HOLD))
        assert await balances.spent([ALWAYS], lambda: None) == [Spent(300, 30)]

    async def read(ledger: Ledger, balances: Balances) -> None:
        assert await balances.spent([ALWAYS], lambda: None) == [Spent(300, 30)]

    run(store, write, read)


def test_a_second_event_of_one_attempt_is_ignored(store: Opened) -> None:
    async def write(ledger: Ledger, balances: Balances) -> None:
        await ledger.hold(HOLD)
        ledger.settle(event_of(HOLD))

    async def again(ledger: Ledger, balances: Balances) -> None:
        ledger.settle(event_of(HOLD, nano=999))

    async def read(ledger: Ledger, balances: Balances) -> None:
        assert await balances.spent([ALWAYS], lambda: None) == [Spent(300, 30)]

    run(store, write, again, read)


def test_what_was_released_costs_nothing(store: Opened) -> None:
    async def write(ledger: Ledger, balances: Balances) -> None:
        await ledger.hold(HOLD)
        ledger.release(HOLD.request_id, HOLD.attempt)

    async def read(ledger: Ledger, balances: Balances) -> None:
        assert await balances.spent([ALWAYS], lambda: None) == [Spent()]

    run(store, write, read)


def test_sums_are_of_those_that_fall_into_the_slice(store: Opened) -> None:
    others = [
        replace(HOLD, request_id="01b", started_at=5_000),
        replace(HOLD, request_id="01c", key_id="key_2", team=None),
    ]
    slices = [
        Slice("key", "key_1", 0, 5_000),
        Slice("key", "key_1", 1_000, 5_001),
        Slice("team", "red", 0, FOREVER),
        Slice("owner", "ada", 0, FOREVER),
        Slice("all", None, 0, 1_000),
    ]

    async def write(ledger: Ledger, balances: Balances) -> None:
        for held in (HOLD, *others):
            await ledger.hold(held)
            ledger.settle(event_of(held))

    async def read(ledger: Ledger, balances: Balances) -> None:
        found = await balances.spent(slices, lambda: None)
        assert [each.nano for each in found] == [300, 600, 600, 900, 0]

    run(store, write, read)


def test_what_is_named_is_charged_once_and_a_mere_look_only_if_nobody_did(store: Opened) -> None:
    looks = [replace(HOLD, request_id="01b"), replace(HOLD, request_id="01c")]

    async def write(ledger: Ledger, balances: Balances) -> None:
        await ledger.hold(HOLD)
        ledger.settle(event_of(HOLD), "resp_1")

    async def look(ledger: Ledger, balances: Balances) -> None:
        for held, id in zip(looks, ("resp_1", "resp_2"), strict=True):
            await ledger.hold(held)
            ledger.settle(event_of(held), id, look=True)

    async def read(ledger: Ledger, balances: Balances) -> None:
        assert await balances.spent([ALWAYS], lambda: None) == [Spent(600, 60)]

    run(store, write, look, read)


# --- what only DynamoDB's does: budgets over many gates -------------------------------------------------------------

BUDGET = parse("0.000001 USD", "key", "key_1")
"""A thousand nano-USD."""


def purses(record: Hold | Event) -> Sequence[PurseOf]:
    return (PurseOf(BUDGET, 0, FOREVER),)


def _refuse(purse: PurseOf, used: int, spent: int, need: int) -> CallerError:
    return CallerError(f"{used} of {purse.budget.amount}", status=429, code="budget_exceeded")


def test_many_gates_at_once_never_hold_more_than_there_is(place: Place) -> None:
    """Two fit. The purse is opened by whoever comes first."""

    async def gate(number: int) -> bool:
        async with opened(place) as table:
            ledger = DynamoLedger(table, purses, _refuse, lambda trouble: None)
            try:
                await ledger.hold(replace(HOLD, request_id=f"01{number}"))
            except CallerError:
                return False
            return True

    async def all_of_them() -> tuple[list[bool], dict[str, Any] | None]:
        held = await asyncio.gather(*(gate(number) for number in range(8)))
        async with opened(place) as table:
            return held, await table.get(purses(HOLD)[0].pk, purses(HOLD)[0].sk)

    held, purse = asyncio.run(all_of_them())

    assert held.count(True) == 2
    assert purse is not None
    assert (purse["used"], purse["spent"]) == (800, 0)


def test_an_end_gives_back_what_was_held_and_not_spent_once(place: Place) -> None:
    async def gate() -> dict[str, Any] | None:
        async with opened(place) as table:
            ledger = DynamoLedger(table, purses, _refuse, lambda trouble: None)
            await ledger.hold(HOLD)
            ledger.settle(event_of(HOLD))
            await ledger.flush()
            ledger.settle(event_of(HOLD))
            await ledger.hold(replace(HOLD, request_id="01b"))
            ledger.release("01b", 1)
            await ledger.flush()
            return await table.get(purses(HOLD)[0].pk, purses(HOLD)[0].sk)

    purse = asyncio.run(gate())

    assert purse is not None
    assert (purse["used"], purse["spent"]) == (300, 300)


def test_a_purse_begins_with_what_was_spent_before_there_was_a_budget(place: Place) -> None:
    async def gate() -> None:
        async with opened(place) as table:
            before = DynamoLedger(table, lambda record: (), _refuse, lambda trouble: None)
            await before.hold(HOLD)
            before.settle(event_of(HOLD, nano=700))
            await before.flush()
            ledger = DynamoLedger(table, purses, _refuse, lambda trouble: None)
            with pytest.raises(CallerError, match="700 of 1000"):
                await ledger.hold(replace(HOLD, request_id="01b"))

    asyncio.run(gate())


def test_what_a_dead_gate_held_is_recovered_once_its_time_is_over(place: Place) -> None:
    def recovered(held: Hold) -> Event:
        return replace(event_of(held, nano=100), quality="recovered", outcome="unknown")

    async def gates() -> None:
        async with opened(place) as table:
            dead = DynamoLedger(table, purses, _refuse, lambda trouble: None)
            await dead.hold(HOLD)
            ledger = DynamoLedger(table, purses, _refuse, lambda trouble: None)
            assert await ledger.recover(recovered, HOLD.expires_at) == 0
            assert await ledger.recover(recovered, HOLD.expires_at + 1) == 1
            assert await ledger.recover(recovered, HOLD.expires_at + 1) == 0
            assert await table.query(HOLDS) == []
            assert [event.quality for event in await events_between(table, 0, FOREVER)] == ["recovered"]
            purse = await table.get(purses(HOLD)[0].pk, purses(HOLD)[0].sk)
            assert purse is not None
            assert (purse["used"], purse["spent"]) == (100, 100)

    asyncio.run(gates())


def test_a_table_that_is_not_there_refuses_calls(url: str) -> None:
    troubles: list[str] = []

    async def gate() -> None:
        missing = Place("nowhere", "eu-central-1", url, new_place(url).credentials)
        async with opened(missing) as table:
            ledger = DynamoLedger(table, purses, _refuse, troubles.append)
            with pytest.raises(GateError, match="ResourceNotFound"):
                await ledger.hold(HOLD)
            assert not ledger.healthy

    asyncio.run(gate())

    assert len(troubles) == 1
