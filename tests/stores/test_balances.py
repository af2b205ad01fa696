"""Balances: what is spent of any window, whatever its zone and however much of it is summed, is what the events say."""

import contextlib
import random
import sqlite3
from pathlib import Path

from kit.records import NOW, event, write
from tollkeeper.core.budget import Slice, Spent
from tollkeeper.core.usage import Usage
from tollkeeper.core.windows import bounds
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.balances import spent_and_held, summed
from tollkeeper.stores.sqlite.rollups import roll_up

DAY = 86_400_000
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham", "America/St_Johns")


def _slices(draw: random.Random) -> list[Slice]:
    found = []
    for zone in ZONES:
        for window in ("hour", "day", "week", "month", "total"):
            start, end = bounds(window, zone, NOW + draw.randrange(60 * DAY))
            scope, of = draw.choice([("all", None), ("key", "key_1"), ("owner", "o"), ("team", "t")])
            found.append(Slice(scope, of, start, 2**62 if end is None else end))
    return found


def test_every_window_of_every_zone_is_exact_before_during_and_after_summing(store: Path) -> None:
    draw = random.Random(7)
    events = []
    for slice_ in _slices(draw) + _slices(draw):
        for moment in (slice_.start - 1, slice_.start, slice_.end - 1, slice_.end, NOW + draw.randrange(60 * DAY)):
            if not NOW - 40 * DAY < moment < NOW + 100 * DAY:
                continue
            usage = Usage(input_tokens=draw.randrange(99), output_tokens=draw.randrange(99))
            who = {
                "key_id": f"key_{draw.randrange(3)}",
                "owner": draw.choice(["o", None]),
                "team": draw.choice(["t", None]),
            }
            events.append(event(started_at=moment, usage=usage, cost_nano=draw.choice([None, 5, 2**51]), **who))
    draw = random.Random(7)
    slices = _slices(draw) + _slices(draw)
    write(store, events)

    def expected(asked: Slice) -> Spent:
        column = {"all": None, "key": "key_id", "owner": "owner", "team": "team"}[asked.scope]
        among = [
            one
            for one in events
            if asked.start <= one.started_at < asked.end and (column is None or getattr(one, column) == asked.of)
        ]
        tokens = sum(one.usage.input_tokens + one.usage.output_tokens for one in among)
        return Spent(sum(one.cost_nano or 0 for one in among), tokens)

    with contextlib.closing(database.connect(store)) as writer:
        for most in (0, 60, 1000):
            if most:
                roll_up(writer, most)
            assert [summed(writer, asked) for asked in slices] == [expected(asked) for asked in slices]
        assert [found for found, _ in spent_and_held(store, slices)] == [expected(asked) for asked in slices]
    assert len({expected(asked) for asked in slices}) > 20


def test_what_is_spent_outlives_its_detail(store: Path) -> None:
    write(store, [event(started_at=NOW, cost_nano=5)])
    with contextlib.closing(database.connect(store)) as writer:
        roll_up(writer, 10)
        writer.execute("DELETE FROM events")
        assert summed(writer, Slice("all", None, 0, 2**62)) == Spent(5, 12)
        assert summed(writer, Slice("key", "key_1", *map(int, bounds("month", "UTC", NOW)))) == Spent(5, 12)


def test_where_detail_is_gone_an_hour_at_the_edge_of_a_window_counts_whole(store: Path) -> None:
    """Rather too much than too little is spent of a budget."""
    write(store, [event(started_at=NOW + minutes * 60_000, cost_nano=1) for minutes in (10, 50, 70, 130, 170)])
    half_past, half_past_two = NOW + 30 * 60_000, NOW + 150 * 60_000
    with contextlib.closing(database.connect(store)) as writer:
        roll_up(writer, 10)
        asked = Slice("all", None, half_past, half_past_two)
        assert summed(writer, asked).nano == 3
        writer.execute("DELETE FROM events")
        writer.execute("UPDATE detail SET kept_from = ?", (NOW + DAY,))
        assert summed(writer, asked).nano == 5


def test_an_empty_ledger_has_nothing_spent(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store / "tollkeeper.db")) as reader:
        assert summed(reader, Slice("key", "nobody", 0, 2**62)) == Spent()
