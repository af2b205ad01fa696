"""Sums: whatever part of the events is summed already, every question gets the answer that the events themselves give."""

import contextlib
import random
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kit.records import NOW, event, request_id, write
from tollkeeper.core.errors import CallerError
from tollkeeper.core.events import Event
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.reports import GROUPS, Reports
from tollkeeper.stores.sqlite.rollups import roll_up
from tollkeeper.stores.sqlite.sums import EVER, cover

HOUR, DAY = 3_600_000, 86_400_000
FIELDS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


@pytest.fixture
def writer(store: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(database.connect(store)) as connection:
        yield connection


def _past(draw: random.Random, count: int, days: float) -> list[Event]:
    """Requests with one to three attempts, over some days; many on the edges of hours; clocks that were set meanwhile."""
    made = []
    for _ in range(count):
        at = NOW + int(draw.random() * days * DAY)
        if draw.random() < 0.2:
            at -= at % HOUR + draw.choice([0, 1, -1])
        begun = at + draw.choice([0, -50, -20 * HOUR, 3 * HOUR]) if draw.random() < 0.1 else at - draw.randrange(50)
        name = request_id(begun)
        who = {
            "key_id": f"key_{draw.randrange(4)}",
            "owner": draw.choice([None, "", "o'1", "NULL"]),
            "team": draw.choice([None, "t"]),
            "model_asked": draw.choice([None, "a", "b"]),
        }
        for attempt in range(1, draw.choice([1, 1, 1, 2, 3]) + 1):
            made.append(
                event(
                    request_id=name,
                    attempt=attempt,
                    started_at=at,
                    provider=draw.choice(["up", "down"]),
                    usage=Usage(**dict(zip(FIELDS, (draw.randrange(10**6), 3, draw.randrange(1000), 1), strict=True))),
                    cost_nano=draw.choice([None, 0, 3, 2**50]),
                    outcome=draw.choice(["ok", "error", "cached"]),
                    saved_nano=draw.choice([0, 7]),
                    **who,
                )
            )
            at += draw.choice([5, 5, HOUR // 2])
    return made


def _expected(events: Iterable[Event], by: str, since: int, until: int) -> dict[object, list[int]]:
    """What `usage` means, said with dictionaries."""
    events = list(events)
    found: dict[object, list[int]] = {}
    for one in events:
        if not since <= one.started_at < until:
            continue
        if by == "day":
            group: object = one.started_at // DAY
        else:
            group = getattr(one, {"key": "key_id", "model": "model_asked"}.get(by, by))
        before = [e for e in events if e.request_id == one.request_id and e.attempt < one.attempt]
        if by == "provider":
            first = one.outcome != "cached" and all(e.provider != one.provider for e in before)
        else:
            first = not before
        usage = one.usage
        numbers = (
            *(first, 1, usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens),
            *(one.cost_nano or 0, one.cost_nano is None, one.outcome == "cached", one.saved_nano),
        )
        found[group] = [a + b for a, b in zip(found.get(group, [0] * len(numbers)), numbers, strict=True)]
    return found


def _said(reports: Reports, by: str, since: int | None, until: int | None) -> dict[object, list[int]]:
    from datetime import UTC, datetime
    from decimal import Decimal

    found: dict[object, list[int]] = {}
    for row in reports.usage(by, since, until):
        group: object = row.group
        if by == "day":
            day = datetime.strptime(str(row.group), "%Y-%m-%d").replace(tzinfo=UTC)
            group = int(day.timestamp() * 1000) // DAY
        found[group] = [
            *(row.requests, row.attempts, row.input_tokens, row.cached_input_tokens),
            *(row.output_tokens, row.reasoning_tokens, int(Decimal(row.cost_usd) * 10**9), row.unpriced),
            *(row.cached_requests, int(Decimal(row.saved_usd) * 10**9)),
        ]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_question_is_answered_as_the_events_themselves_would(
    store: Path, writer: sqlite3.Connection, seed: int
) -> None:
    draw = random.Random(seed)
    events = _past(draw, 150, draw.choice([0.1, 3, 70]))
    times = [one.started_at for one in events]
    reports = Reports(store)
    for part in range(3):
        there = events[: len(events) * (part + 1) // 3]  # attempts of a request end one after the other
        write(store, there[len(events) * part // 3 :])
        roll_up(writer, draw.choice([1, 40, 1000]))
        for by in GROUPS:
            for _ in range(4):
                since, until = sorted(draw.choice(times) + draw.choice([0, 1, -HOUR, 2 * DAY]) for _ in range(2))
                if draw.random() < 0.3:
                    since -= since % HOUR
                assert _said(reports, by, since, until) == _expected(there, by, since, until)
            assert _said(reports, by, None, None) == _expected(there, by, *EVER)
    while roll_up(writer, 100):
        pass

    for by in GROUPS:
        assert _said(reports, by, None, None) == _expected(events, by, *EVER)
        middle = sorted(times)[len(times) // 2]
        assert _said(reports, by, None, middle) == _expected(events, by, 0, middle)
        assert _said(reports, by, middle, None) == _expected(events, by, middle, EVER[1])
    assert reports.totals() == (
        len(events),
        sum(one.usage.input_tokens + one.usage.output_tokens for one in events),
        sum(one.cost_nano or 0 for one in events),
    )
    reports.close()


def test_a_stretch_is_covered_once_by_the_longest_spans_that_fit() -> None:
    draw = random.Random(5)
    for _ in range(500):
        since = NOW + draw.randrange(100 * DAY)
        until = since + draw.choice([1, HOUR, 5 * HOUR, DAY, 40 * DAY, 100 * DAY]) + draw.choice([0, 0, 12345])
        if draw.random() < 0.5:
            since -= since % HOUR
        spans, rest = cover((since, until))
        parts = sorted([part for _, part in spans] + rest)

        assert parts[0][0] == since
        assert parts[-1][1] == until
        assert [a[1] for a in parts[:-1]] == [b[0] for b in parts[1:]]
        assert all(end - start < HOUR and start // HOUR == (end - 1) // HOUR for start, end in rest)
        for span, (start, end) in spans:
            length = {"hour": HOUR, "day": DAY}.get(span)
            assert length is None or start % length == end % length == 0
            assert span != "hour" or end - start < 2 * DAY
            assert span != "day" or end - start < 62 * DAY
    assert cover(EVER) == ([("month", EVER)], [])
    assert cover((NOW + 5, NOW + 5)) == ([], [])


def test_where_detail_is_deleted_only_whole_hours_are_answered(store: Path, writer: sqlite3.Connection) -> None:
    write(store, [event(started_at=NOW + 10)])
    roll_up(writer, 10)
    writer.execute("DELETE FROM events")
    writer.execute("UPDATE detail SET kept_from = ?", (NOW + DAY,))
    reports = Reports(store)

    with pytest.raises(CallerError, match="only sums of whole hours") as since:
        reports.usage("key", NOW + 5)
    with pytest.raises(CallerError) as until:
        reports.usage("key", None, NOW + 5)

    assert (since.value.param, until.value.param) == ("since", "until")
    assert [row.requests for row in reports.usage("key", NOW, NOW + HOUR)] == [1]
    assert [row.requests for row in reports.usage("key", None, NOW + DAY + 5)] == [1]
    assert reports.totals()[0] == 1
    reports.close()
