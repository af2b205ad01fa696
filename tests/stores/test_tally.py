"""The tally: what it adds to the sums is what the events themselves would make, and it may be lost at any moment."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kit.ledgers import Other, opened, until
from kit.records import NOW, event, hold, write
from tollkeeper.core.events import Event
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite import database, tally
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.resumming import compare
from tollkeeper.stores.sqlite.rollups import add_up, roll_up
from tollkeeper.stores.sqlite.rows import put
from tollkeeper.stores.sqlite.tally import Tally

HOUR = 3_600_000
TABLES = ("sum_groups", "sums", "hours", "unsummed")


@pytest.fixture
def writer(store: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(database.connect(store)) as connection:
        yield connection


def _past(draw: random.Random, count: int) -> list[Event]:
    """Events of several groups and hours, with all that is summed, second attempts, and costs that are not known."""
    made: list[Event] = []
    while len(made) < count:
        one = event(
            started_at=NOW + draw.randrange(3 * HOUR),
            key_id=draw.choice(["key_1", "key_2"]),
            owner=draw.choice([None, "o", "NULL", "it's"]),
            team=draw.choice([None, "t"]),
            model_asked=draw.choice([None, "m", "n"]),
            outcome=draw.choice(["ok", "cached", "upstream_error"]),
            usage=Usage(**{name: draw.randrange(10**6) for name in Usage.__struct_fields__}),
            cost_nano=draw.choice([None, 0, draw.randrange(10**12), 10**30]),
            saved_nano=draw.randrange(10**9),
        )
        made.append(one)
        if draw.random() < 0.3:
            provider = draw.choice(["up", "down"])
            made.append(msgspec.structs.replace(one, attempt=2, started_at=one.started_at + 5, provider=provider))
    return made


def _written(writer: sqlite3.Connection, kept: Tally, events: list[Event]) -> None:
    writer.execute("BEGIN IMMEDIATE")
    done = put(writer, [], events)
    writer.execute("COMMIT")
    if done.number:
        kept.add(done.number, done.rows)


def _summed(writer: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """What is in the sums, with the groups' labels in place of their numbers."""
    return {
        "sums": writer.execute(
            "SELECT coalesce(g.label, 'all'), s.* FROM sums s LEFT JOIN sum_groups g ON g.id = s.of ORDER BY 1, 2, 3"
        ).fetchall(),
        "groups": writer.execute(
            "SELECT key_id, owner, team, model_asked, provider FROM sum_groups ORDER BY label"
        ).fetchall(),
        "hours": writer.execute("SELECT * FROM hours ORDER BY start").fetchall(),
        "fresh": writer.execute("SELECT * FROM fresh").fetchall(),
    }


def _without_numbers(found: dict[str, list[tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    return {**found, "sums": [(row[0], *row[1:3], *row[4:]) for row in found["sums"]]}


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_are_those_that_the_events_would_make(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "_ROWS", 20)
    monkeypatch.setattr(tally, "_GROUPS", 15)
    draw = random.Random(seed)
    events = _past(draw, 300)
    found = []
    for name in ("tallied", "looked up"):
        home = tmp_path / name
        home.mkdir()
        with contextlib.closing(database.connect(home)) as writer:
            kept = Tally()
            draw = random.Random(seed)
            left, most = list(events), 0
            while left:
                size = draw.randrange(1, 12)
                _written(writer, kept if name == "tallied" else Tally(), left[:size])
                left = left[size:]
                most = max(most, len(kept.parts))
                if draw.random() < 0.05:
                    while add_up(writer, kept):
                        pass
            assert (most > 1) == (name == "tallied")
            while add_up(writer, kept):
                pass
            roll_up(writer, 10_000)
            found.append(_without_numbers(_summed(writer)))
            said: list[str] = []
            compare(writer, 0, said.append, lambda done, of: None)
            assert said == []

    assert found[0] == found[1]
    assert found[0]["fresh"] == []


@pytest.mark.parametrize("table", ["sums", "sum_groups", "hours"])
def test_what_cannot_be_added_is_summed_from_the_events_later(writer: sqlite3.Connection, table: str) -> None:
    kept = Tally()
    _written(writer, kept, [event() for _ in range(5)])
    writer.execute(f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        add_up(writer, kept)
    writer.execute("ROLLBACK")
    writer.execute("DROP TRIGGER full")

    assert kept.begins is None
    assert add_up(writer, kept) == 0
    assert roll_up(writer, 100) == 5
    assert [row[4:7] for row in _summed(writer)["sums"]] == [(5, 5, 5)] * 6


def test_what_was_there_before_is_neither_noted_nor_tallied_again(writer: sqlite3.Connection) -> None:
    kept = Tally()
    first, second, third = (event() for _ in range(3))
    _written(writer, kept, [first])
    _written(writer, kept, [first, second])
    _written(writer, kept, [first, second])
    assert [row[1:] for row in writer.execute("SELECT * FROM fresh")] == [(first.request_id, 1), (second.request_id, 1)]
    assert add_up(writer, kept) == 2
    _written(writer, kept, [second, third, third])

    assert add_up(writer, kept) == 1
    assert [row[4:7] for row in _summed(writer)["sums"]] == [(3, 3, 3)] * 6


def test_what_does_not_fit_the_table_is_tallied_as_it_was_written(writer: sqlite3.Connection) -> None:
    kept = Tally()
    _written(writer, kept, [event(usage=Usage(input_tokens=2**70)), event(model_asked="\ud800")])
    [(tokens,)] = writer.execute("SELECT sum(input_tokens) FROM events")
    add_up(writer, kept)

    said: list[str] = []
    compare(writer, 0, said.append, lambda done, of: None)
    assert said == []
    assert dict(writer.execute("SELECT span, sum(input_tokens) FROM sums WHERE of = 0 GROUP BY span")) == {
        "hour": tokens,
        "day": tokens,
        "month": tokens,
    }


def test_a_sum_that_no_column_can_hold_is_refused_as_the_store_refuses_it(writer: sqlite3.Connection) -> None:
    kept = Tally()
    _written(writer, kept, [event(usage=Usage(input_tokens=2**70)) for _ in range(1100)])

    for adding in (lambda: add_up(writer, kept), lambda: roll_up(writer, 10_000)):
        with pytest.raises(sqlite3.Error):
            adding()
        writer.execute("ROLLBACK")
    assert kept.begins is None


def test_a_tally_that_nobody_takes_stays_small(writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_ROWS": 1, "_GROUPS": 2, "_PARTS": 3}.items():
        monkeypatch.setattr(tally, name, value)
    kept = Tally()
    for number in range(50):
        _written(writer, kept, [event(key_id=f"key_{number}")])
        assert len(kept.parts) <= 3
        assert all(len(part.groups) <= 2 for part in kept.parts)
    begins = kept.begins
    assert begins is not None
    left = 51 - begins
    while add_up(writer, kept):
        pass

    assert writer.execute("SELECT count(*) FROM fresh").fetchone() == (50 - left,)
    assert roll_up(writer, 100) == 50 - left
    assert writer.execute("SELECT attempts FROM sums WHERE of = 0").fetchall() == [(50,)] * 3


def test_after_a_failure_the_events_are_summed_once(store: Path, other: Other, troubles: list[str]) -> None:
    """A sync that failed: the transaction's events are found in the store, and said again."""

    async def go(ledger: SqliteLedger) -> None:
        ledger.settle(event())
        assert await until(30, lambda: other.counts() == (0, 1))
        whole, failing = ledger._syncer.sync, iter([True])

        def sync(log: int, ended: object) -> None:
            if next(failing, False):
                asyncio.get_running_loop().call_soon(ended, OSError(5, "Input/output error"))  # type: ignore[arg-type]
            else:
                whole(log, ended)  # type: ignore[arg-type]

        ledger._syncer.sync = sync  # type: ignore[method-assign,assignment]
        ledger.settle(event())
        assert await until(30, lambda: len(troubles) == 2)
        assert ledger.tally.begins != 1
        await ledger.hold(hold())
        while await ledger.turn(lambda writer: add_up(writer, ledger.tally)):
            pass
        while await ledger.turn(lambda writer: roll_up(writer, 100, ledger.tally.begins)):
            pass

    async def run() -> None:
        async with opened(store, troubles) as ledger:
            await go(ledger)

    asyncio.run(run())
    assert other.counts() == (1, 2)
    assert [row.requests for row in other.reports.usage("key")] == [2]
    assert other.connection.execute("SELECT count(*) FROM fresh").fetchone() == (0,)


def test_what_a_crash_left_and_what_came_since_are_both_summed(store: Path, writer: sqlite3.Connection) -> None:
    write(store, [event() for _ in range(3)])
    kept = Tally()
    _written(writer, kept, [event() for _ in range(2)])

    assert add_up(writer, kept) == 2
    assert roll_up(writer, 100, kept.begins) == 3
    assert [row[4:7] for row in _summed(writer)["sums"]] == [(5, 5, 5)] * 6
