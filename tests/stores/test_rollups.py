"""Roll-ups: an event is fresh or summed, never both, never neither, wherever a transaction breaks off."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.records import NOW, ending, event, hold, write
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.reports import Reports
from tollkeeper.stores.sqlite.rollups import roll_up


@pytest.fixture
def writer(store: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(database.connect(store)) as connection:
        yield connection


def _state(writer: sqlite3.Connection) -> tuple[int, int, int, int]:
    """Fresh events, and how many events the sums of each span are of."""
    [(fresh,)] = writer.execute("SELECT count(*) FROM fresh")
    spans = dict(writer.execute("SELECT span, sum(attempts) FROM sums WHERE of <> 0 GROUP BY span"))
    assert spans == dict(writer.execute("SELECT span, sum(attempts) FROM sums WHERE of = 0 GROUP BY span"))
    return fresh, spans.get("hour", 0), spans.get("day", 0), spans.get("month", 0)


def test_events_go_into_the_sums_once_in_steps_of_whole_transactions(store: Path, writer: sqlite3.Connection) -> None:
    for count in (4, 7, 9, 5):
        write(store, [event() for _ in range(count)])

    assert [roll_up(writer, 10) for _ in range(4)] == [11, 14, 0, 0]
    assert _state(writer) == (0, 25, 25, 25)


def test_only_what_was_noted_before_a_number_is_summed_where_one_is_given(
    store: Path, writer: sqlite3.Connection
) -> None:
    for count in (1, 2, 4):
        write(store, [event() for _ in range(count)])

    assert [roll_up(writer, 10, before=3) for _ in range(2)] == [3, 0]
    assert _state(writer) == (4, 3, 3, 3)


def test_an_event_that_comes_late_is_summed_where_it_belongs(store: Path, writer: sqlite3.Connection) -> None:
    late = hold()
    write(store, [event(started_at=NOW + 10**10)], [late])
    roll_up(writer, 100)
    write(store, [ending(late)])
    roll_up(writer, 100)

    assert _state(writer) == (0, 2, 2, 2)
    [(hours,)] = writer.execute("SELECT count(DISTINCT start) FROM sums WHERE span = 'hour'")
    assert hours == 2


def test_an_event_that_is_written_again_is_not_summed_again(store: Path, writer: sqlite3.Connection) -> None:
    once = event()
    for _ in range(3):
        write(store, [once])
        roll_up(writer, 100)

    assert _state(writer) == (0, 1, 1, 1)


@pytest.mark.parametrize("table", ["sums", "sum_groups", "hours"])
def test_a_roll_up_that_breaks_off_leaves_its_events_fresh(store: Path, writer: sqlite3.Connection, table: str) -> None:
    write(store, [event() for _ in range(5)])
    writer.execute(f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        roll_up(writer, 100)
    writer.execute("ROLLBACK")
    assert _state(writer) == (5, 0, 0, 0)
    writer.execute("DROP TRIGGER full")

    assert roll_up(writer, 100) == 5
    assert _state(writer) == (0, 5, 5, 5)


def test_a_key_that_changes_its_owner_is_summed_under_both(store: Path, writer: sqlite3.Connection) -> None:
    write(store, [event(owner="a"), event(owner="b"), event(owner=None), event(owner="NULL")])
    roll_up(writer, 100)

    reports = Reports(store)
    assert {row.group: row.requests for row in reports.usage("owner")} == {"a": 1, "b": 1, None: 1, "NULL": 1}
    assert [row.requests for row in reports.usage("key")] == [4]
    reports.close()
