"""Reports on the embedded store: each planted inconsistency is found, and what is sound raises none."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kit.records import NOW, ending, event, hold, request_id, write
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.events import Event
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.keys import KeyStore
from tollkeeper.stores.sqlite.proof import prove
from tollkeeper.stores.sqlite.reports import GROUPS, Reports


@pytest.fixture
def key_id(home: Path) -> str:
    store = KeyStore(home, time.time, os.urandom)
    key, _ = store.create("n")
    store.close()
    return key.id


@pytest.fixture
def reports(home: Path, key_id: str) -> Iterator[Reports]:
    found = Reports(home)
    yield found
    found.close()


def _plant(home: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db", isolation_level=None)) as other:
        other.execute(statement, values)


def test_a_sound_ledger_has_no_problems(home: Path, key_id: str, reports: Reports) -> None:
    parts_greater_than_the_whole = Usage(input_tokens=1, cached_input_tokens=5, output_tokens=1, reasoning_tokens=9)
    write(
        home,
        [
            event(key_id=key_id),
            event(key_id=key_id, usage=parts_greater_than_the_whole),  # a provider may say so; it is its word
            event(key_id=key_id, quality="counted"),
            event(key_id=key_id, quality="unpriced", cost_nano=None),
            event(key_id=key_id, quality="recovered", cost_nano=None),
            event(key_id=key_id, quality="recovered", outcome="unknown"),
            event(key_id=key_id, usage=Usage(), cost_nano=0, outcome="upstream_error"),
        ],
        [hold(key_id=key_id, expires_at=NOW + 10)],
    )

    assert prove(home, NOW).problems == []
    assert reports.open_holds() == 1


def test_a_hold_that_outlived_its_attempt_is_found(home: Path, key_id: str, reports: Reports) -> None:
    write(home, [], [hold(key_id=key_id, expires_at=NOW), hold(key_id=key_id, expires_at=NOW + 10)])

    assert prove(home, NOW).problems == []
    assert prove(home, NOW + 1).problems == ["1 holds outlived their attempts"]
    assert prove(home, NOW + 11).problems == ["2 holds outlived their attempts"]


def test_an_attempt_with_both_a_hold_and_an_event_is_found(home: Path, key_id: str, reports: Reports) -> None:
    ended = event(key_id=key_id)
    write(home, [ended])
    _plant(home, "INSERT INTO holds VALUES (?, ?, ?, '{}')", ended.request_id, ended.attempt, NOW + 10)

    assert prove(home, NOW).problems == ["1 attempts have both a hold and an event"]


@pytest.mark.parametrize("column", [*Usage.__struct_fields__, "cost_nano"])
def test_a_number_below_zero_is_found(home: Path, key_id: str, reports: Reports, column: str) -> None:
    write(home, [event(key_id=key_id), event(key_id=key_id)])
    _plant(home, f"UPDATE events SET {column} = -1 WHERE request_id = (SELECT max(request_id) FROM events)")

    assert prove(home, NOW).problems == ["1 events have a number below zero"]


def test_an_event_of_a_key_that_never_was_is_found(home: Path, key_id: str, reports: Reports) -> None:
    write(home, [event(key_id=key_id), event(key_id="key_invented")])

    assert prove(home, NOW).problems == ["1 events are of keys that never were"]


@pytest.mark.parametrize(
    "changes",
    [{"cost_nano": None}, {"cost_nano": None, "quality": "counted"}, {"cost_nano": 0, "quality": "unpriced"}],
)
def test_a_cost_that_does_not_go_with_its_quality_is_found(
    home: Path, key_id: str, reports: Reports, changes: dict[str, object]
) -> None:
    write(home, [event(key_id=key_id), event(key_id=key_id, **changes)])

    assert prove(home, NOW).problems == ["1 events lack a price and are not marked unpriced"]


def test_a_damaged_page_is_found(home: Path, key_id: str) -> None:
    write(home, [event(key_id=key_id, usage_raw="x" * 3000) for _ in range(300)])
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db")) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(pages,)] = other.execute("PRAGMA page_count")
    file = home / "tollkeeper.db"
    whole = file.read_bytes()
    at = 4096 * (pages - 5) + 3
    file.write_bytes(whole[:at] + b"\xff" * 40 + whole[at + 40 :])

    problems = prove(home, NOW).problems

    assert problems
    assert all(problem.startswith("SQLite: ") and "\n" not in problem for problem in problems)


def test_an_event_comes_back_as_it_was_written(home: Path, key_id: str, reports: Reports) -> None:
    full = event(
        attempt=5,
        status=503,
        owner="o",
        team="t",
        streamed=True,
        error_code="e",
        usage=Usage(**{name: number for number, name in enumerate(Usage.__struct_fields__)}),
        cost_nano=2**53,
        first_byte_ms=0.125,
    )
    bare = event(
        **dict.fromkeys(
            ("model_asked", "model", "model_used", "cost_nano", "price_version", "usage_raw", "first_byte_ms")
        )
    )
    write(home, [full, bare])

    assert reports.events() == [bare, full]
    assert all(type(found) is Event for found in reports.events())
    assert msgspec.json.encode(reports.events()) == msgspec.json.encode([bare, full])


def test_a_page_that_ends_between_two_attempts_of_a_request_loses_neither(home: Path, reports: Reports) -> None:
    name = request_id()
    attempts = [event(request_id=name, attempt=number) for number in (1, 2, 3)]
    write(home, attempts)

    assert reports.events(before=f"{name}:3", limit=1) == [attempts[1]]
    assert reports.events(before=f"{name}:1") == []
    assert reports.events(before=name) == []


def test_totals_and_usage_of_an_empty_ledger_are_zero(reports: Reports) -> None:
    assert reports.totals() == (0, 0, 0)
    assert [reports.usage(by) for by in GROUPS] == [[]] * len(GROUPS)


def test_sums_beyond_what_a_float_holds_are_exact(home: Path, key_id: str, reports: Reports) -> None:
    write(home, [event(key_id=key_id, cost_nano=2**53), event(key_id=key_id, cost_nano=1)])

    assert reports.totals() == (2, 24, 2**53 + 1)
    assert reports.usage("key")[0].cost_usd == "9007199.254740993"


def test_what_the_cache_answered_and_saved_is_summed(home: Path, key_id: str, reports: Reports) -> None:
    write(home, [event(key_id=key_id), event(key_id=key_id, outcome="cached", cost_nano=0, saved_nano=3150)])
    write(home, [event(key_id=key_id, outcome="cached", cost_nano=0, saved_nano=1)])

    [row] = reports.usage("key")

    assert (row.requests, row.cached_requests, row.cost_usd, row.saved_usd) == (3, 2, "0.00000315", "0.000003151")
    assert prove(home, NOW).problems == []


def test_reports_see_what_was_written_since_they_were_opened(home: Path, key_id: str, reports: Reports) -> None:
    assert reports.totals()[0] == 0
    held = hold(key_id=key_id)
    write(home, [ending(held, key_id=key_id)], [held])

    assert reports.totals()[0] == 1
    assert reports.open_holds() == 0


def test_reports_write_nothing(reports: Reports) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reports._database.execute("DELETE FROM events")


def test_a_home_without_a_store_is_said_and_left_as_it_is(home: Path) -> None:
    with pytest.raises(GateError, match="There is no store"):
        Reports(home)
    assert not home.exists()


def test_another_group_is_refused(reports: Reports) -> None:
    with pytest.raises(CallerError, match="summed by key, owner"):
        reports.usage("key_id; DROP TABLE events")
