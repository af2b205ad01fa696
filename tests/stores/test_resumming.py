"""Sums are made again from the events: what was rolled up stands, and one number that is off is named."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.records import NOW, event, write
from tollkeeper.stores.sqlite import database, resumming
from tollkeeper.stores.sqlite.rollups import roll_up
from tollkeeper.stores.sqlite.sums import SUMS

HOUR = 3_600_000


@pytest.fixture
def store(home: Path) -> Iterator[sqlite3.Connection]:
    """Four events in three hours and two months, all but the last in the sums."""
    write(home, [event(started_at=NOW + at) for at in (-HOUR, 0, HOUR)])
    with contextlib.closing(database.connect(home)) as connection:
        assert roll_up(connection, 100) == 3
        write(home, [event(started_at=NOW + HOUR + 1)])
        yield connection


def problems(store: sqlite3.Connection, kept_from: int = 0) -> list[str]:
    found: list[str] = []
    looked_at: list[tuple[int, int]] = []
    resumming.compare(store, kept_from, found.append, lambda done, of: looked_at.append((done, of)))

    assert looked_at[-1][0] == looked_at[-1][1]
    return found


def test_what_was_rolled_up_stands(store: sqlite3.Connection) -> None:
    assert problems(store) == []


@pytest.mark.parametrize("name", SUMS)
def test_a_number_that_is_off_is_named_with_its_hour_its_day_and_its_month(
    store: sqlite3.Connection, name: str
) -> None:
    store.execute(f"UPDATE sums SET {name} = {name} + 1 WHERE span = 'hour' AND start = ?", (NOW,))

    hour, day, month = problems(store)

    assert hour.startswith("The sums of the hour 2026-01-01T00:00Z of 'key_1',NULL,NULL,'alias','up' differ")
    assert f" in {name} (" in hour
    assert day == "The sums of the day 2026-01-01T00:00Z differ from those of its hours"
    assert month == "The sums of the month 2026-01-01T00:00Z differ from those of its hours"


@pytest.mark.parametrize("name", SUMS)
def test_an_hours_total_that_is_off_is_named(store: sqlite3.Connection, name: str) -> None:
    for span in ("hour", "day", "month"):
        store.execute(f"UPDATE sums SET {name} = {name} + 1 WHERE of = 0 AND span = ? AND start = ?", (span, NOW))

    assert problems(store)[0] == "The sums of the hour 2026-01-01T00:00Z do not add up to its total"


def test_an_event_in_no_sums_and_one_that_is_gone_are_counted(store: sqlite3.Connection) -> None:
    store.execute("DELETE FROM unsummed")
    store.execute("INSERT INTO unsummed (attempts) VALUES ('[[\"gone\",1]]')")

    assert problems(store)[:2] == [
        "1 events that were written are gone",
        "1 events are in no sums and do not wait for them",
    ]


def test_hours_whose_detail_is_deleted_are_only_compared_with_their_days(store: sqlite3.Connection) -> None:
    store.execute("DELETE FROM events WHERE started_at < ?", (NOW,))
    store.execute("DELETE FROM sums WHERE span = 'day' AND start < ?", (NOW,))

    assert problems(store, NOW) == ["The sums of the day 2025-12-31T00:00Z differ from those of its hours"]


def test_a_request_whose_first_attempt_is_deleted_is_no_difference(home: Path) -> None:
    first = event(started_at=NOW - 1, outcome="upstream_error")
    write(home, [first, event(request_id=first.request_id, attempt=2, started_at=NOW + 1)])
    with contextlib.closing(database.connect(home)) as store:
        assert roll_up(store, 100) == 2
        store.execute("DELETE FROM events WHERE attempt = 1")

        assert problems(store, NOW) == []
        store.execute("UPDATE sums SET output_tokens = 5 WHERE start = ?", (NOW,))
        assert " in output_tokens (5, not 3)" in problems(store, NOW)[0]
