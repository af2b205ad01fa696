"""The ledger's contract: what is said to be on disk is there, once, and an attempt is open or ended, never both."""

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

from kit.ledgers import Other, opened, until
from kit.records import ending, event, hold
from tollkeeper.core.usage import Usage


def test_a_hold_is_on_disk_when_hold_returns(store: Path, other: Other, troubles: list[str]) -> None:
    held = hold(model_asked=None, model="é☃", expires_at=77)

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            await ledger.hold(held)
            assert other.counts() == (1, 0)

    asyncio.run(go())
    [(request_id, attempt, expires_at)] = other.connection.execute("SELECT request_id, attempt, expires_at FROM holds")
    assert (request_id, attempt, expires_at) == (held.request_id, 1, 77)
    assert troubles == []


def test_an_end_needs_no_waiting_and_comes_soon(store: Path, other: Other, troubles: list[str]) -> None:
    async def go() -> None:
        async with opened(store, troubles) as ledger:
            held = hold()
            await ledger.hold(held)
            ledger.settle(ending(held))
            assert await until(30, lambda: other.counts() == (0, 1))

    asyncio.run(go())


def test_an_attempt_that_is_settled_twice_has_its_first_event_only(
    store: Path, other: Other, troubles: list[str]
) -> None:
    held = hold()
    first, second = ending(held, cost_nano=1), ending(held, cost_nano=2)

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            await ledger.hold(held)
            ledger.settle(first)
            ledger.settle(second)
            assert await until(30, lambda: other.counts() == (0, 1))
            ledger.settle(second)

    asyncio.run(go())
    assert other.reports.events() == [first]


def test_two_attempts_of_one_request_have_an_event_each(store: Path, other: Other, troubles: list[str]) -> None:
    first = hold()
    second = hold(request_id=first.request_id, attempt=2)

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            await ledger.hold(first)
            ledger.settle(ending(first))
            await ledger.hold(second)
            ledger.settle(ending(second))

    asyncio.run(go())
    assert [found.attempt for found in other.reports.events()] == [2, 1]
    assert other.counts() == (0, 2)


def test_a_released_hold_leaves_nothing(store: Path, other: Other, troubles: list[str]) -> None:
    async def go() -> None:
        async with opened(store, troubles) as ledger:
            held, kept = hold(), hold()
            await asyncio.gather(ledger.hold(held), ledger.hold(kept))
            ledger.release(held.request_id, held.attempt)
            ledger.release("never there", 1)
            assert await until(30, lambda: other.counts() == (1, 0))

    asyncio.run(go())


def test_the_end_of_a_hold_and_its_event_are_one_step(store: Path, other: Other, troubles: list[str]) -> None:
    """Seen from outside at any moment: as many holds and events together as attempts were begun."""
    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        with contextlib.closing(sqlite3.connect(store / "tollkeeper.db", isolation_level=None)) as watcher:
            while not done.is_set():
                [(both,)] = watcher.execute("SELECT (SELECT count(*) FROM holds) + (SELECT count(*) FROM events)")
                seen.add(both)

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            holds = [hold() for _ in range(300)]
            await asyncio.gather(*(ledger.hold(one) for one in holds))
            watching = asyncio.get_running_loop().run_in_executor(None, watch)
            for one in holds:
                ledger.settle(ending(one))
                await asyncio.sleep(0.0005)
            assert await until(30, lambda: other.counts() == (0, 300))
            done.set()
            await watching

    asyncio.run(go())
    assert seen == {300}


def test_a_thousand_at_once_are_all_there(store: Path, other: Other, troubles: list[str]) -> None:
    holds = [hold() for _ in range(1000)]

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            await asyncio.gather(*(ledger.hold(one) for one in holds))
            assert other.counts() == (1000, 0)
            for one in holds:
                ledger.settle(ending(one))

    asyncio.run(go())
    assert other.counts() == (0, 1000)
    assert {found.request_id for found in other.every_event()} == {one.request_id for one in holds}
    assert other.reports.totals() == (1000, 12_000, 3_150_000)


def test_what_is_queued_when_it_is_closed_is_written(store: Path, other: Other, troubles: list[str]) -> None:
    async def go() -> None:
        async with opened(store, troubles) as ledger:
            for _ in range(1500):
                ledger.settle(event())

    asyncio.run(go())
    assert other.counts() == (0, 1500)


def test_usage_that_may_be_told_again_is_charged_once(store: Path, other: Other, troubles: list[str]) -> None:
    usage = Usage(input_tokens=10, output_tokens=5)

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            other.refuse("events")
            for _ in range(3):
                ledger.settle(event(usage=usage, cost_nano=100), "resp_1", look=True)
            ledger.settle(event(usage=usage, cost_nano=100, provider="down"), "resp_1", look=True)
            assert await until(30, lambda: not ledger.healthy)
            other.allow()
            assert await until(30, lambda: other.counts() == (0, 4))
            ledger.settle(event(usage=usage, cost_nano=100), "resp_1", look=True)

    asyncio.run(go())
    charged = [(found.provider, found.cost_nano, found.usage.input_tokens) for found in other.every_event()]
    assert charged == [("up", 100, 10), ("up", 0, 0), ("up", 0, 0), ("down", 100, 10), ("up", 0, 0)]


def test_what_no_column_can_hold_is_written_as_near_as_can_be_and_stops_nobody(
    store: Path, other: Other, troubles: list[str]
) -> None:
    absurd = event(usage=Usage(input_tokens=2**70), cost_nano=2**80)
    garbled = event(model_used="gpt-\ud800")
    plain = event(cost_nano=2**60)

    async def go() -> None:
        async with opened(store, troubles) as ledger:
            for one in (absurd, garbled, plain):
                ledger.settle(one)
                await ledger.hold(hold())

    asyncio.run(go())
    written = {found.request_id: found for found in other.every_event()}
    assert written[absurd.request_id].usage.input_tokens == 2**53
    assert {written[absurd.request_id].cost_nano, written[plain.request_id].cost_nano} == {2**53}
    assert written[garbled.request_id].model_used == "gpt-?"
    assert other.reports.totals()[2] == 2**54 + 3150
    assert troubles == []
