"""Retention: what is old and summed ends, a few at a time; nothing else does."""

import contextlib
from pathlib import Path

from kit.records import NOW, event, request_id, write
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.retention import delete_old
from tollkeeper.stores.sqlite.rollups import roll_up

DAY = 86_400_000


def test_only_summed_events_of_days_that_are_old_are_deleted_in_steps(store: Path) -> None:
    old = [event(started_at=NOW - 41 * DAY + number) for number in range(25)]
    kept = [
        event(started_at=NOW - 40 * DAY),
        event(started_at=NOW - 40 * DAY + 5, request_id=request_id(NOW - 42 * DAY)),  # its body took a day to arrive
        event(started_at=NOW),
    ]
    write(store, [*old, *kept])
    with contextlib.closing(database.connect(store)) as writer:
        assert delete_old(writer, NOW + 5000, 40, 10) == 0  # not summed yet
        roll_up(writer, 100)
        deleted = [delete_old(writer, NOW + 5000, 40, 10) for _ in range(4)]
        left = {row[0] for row in writer.execute("SELECT request_id FROM events")}
        [(kept_from,)] = writer.execute("SELECT kept_from FROM detail")

    assert deleted == [10, 10, 5, 0]
    assert left == {one.request_id for one in kept}
    assert kept_from == NOW - 40 * DAY


def test_a_clock_that_is_set_back_does_not_bring_detail_back(store: Path) -> None:
    write(store, [event(started_at=NOW - 50 * DAY), event(started_at=NOW - 70 * DAY)])
    with contextlib.closing(database.connect(store)) as writer:
        roll_up(writer, 100)
        delete_old(writer, NOW, 40, 1)
        delete_old(writer, NOW - 20 * DAY, 40, 10)
        assert writer.execute("SELECT kept_from FROM detail").fetchall() == [(NOW - 40 * DAY,)]
        assert delete_old(writer, 5, 40, 10) == 0
