"""What a provider will bill: its own attempts by minute and by its own names, and of what is deleted nothing is claimed."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.records import NOW, event, write
from tollkeeper.core.errors import CallerError
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.billed import Billed, Bills

USAGE = Usage(input_tokens=10, cached_input_tokens=4, output_tokens=5)


@pytest.fixture
def bills(home: Path) -> Iterator[Bills]:
    one = event(started_at=NOW + 1, usage=USAGE, cost_nano=7)
    write(
        home,
        [
            one,
            event(request_id=one.request_id, attempt=2, started_at=NOW + 59_999, usage=USAGE, cost_nano=8),
            event(started_at=NOW + 60_000, usage=USAGE, cost_nano=9, quality="counted"),
            event(started_at=NOW + 60_001, usage=Usage(), cost_nano=0, status=500, outcome="upstream_error"),
            event(started_at=NOW + 60_002, usage=USAGE, cost_nano=None, quality="unpriced", model_used=None),
            event(started_at=NOW + 60_003, usage=USAGE, cost_nano=0, outcome="cached"),
            event(started_at=NOW + 60_004, usage=USAGE, provider="another"),
            event(started_at=NOW + 120_000, usage=USAGE),
        ],
    )
    found = Bills(home)
    yield found
    found.close()


def test_attempts_are_summed_by_minute_and_model(bills: Bills) -> None:
    used = "gpt-4o-mini-2024-07-18"

    assert list(bills.by_minute("up", NOW, NOW + 120_000)) == [
        Billed(NOW, "gpt-4o-mini", used, 2, 20, 8, 10, 15, 0, 0),
        Billed(NOW + 60_000, "gpt-4o-mini", None, 1, 10, 4, 5, 0, 1, 0),
        Billed(NOW + 60_000, "gpt-4o-mini", used, 1, 10, 4, 5, 9, 0, 1),
    ]
    assert bills.providers() == ["another", "up"]


def test_attempts_of_one_request_are_one(bills: Bills, home: Path) -> None:
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db")) as store:
        [(request_id,)] = store.execute("SELECT request_id FROM events WHERE attempt = 2")

    assert [(name, billed.cost_nano) for name, billed in bills.by_request("up", [request_id, "none"])] == [
        (request_id, 15)
    ]


def test_before_the_detail_that_is_kept_nothing_is_said(home: Path, bills: Bills) -> None:
    bills.close()
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db", isolation_level=None)) as store:
        store.execute("UPDATE detail SET kept_from = ?", (NOW + 60_000,))
    later = Bills(home)

    with pytest.raises(CallerError, match="only sums are there"):
        list(later.by_minute("up", NOW, NOW + 120_000))
    assert len(list(later.by_minute("up", NOW + 60_000, NOW + 120_000))) == 2
    later.close()
