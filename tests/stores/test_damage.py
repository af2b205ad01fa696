"""A damaged store: what was spent is never forgotten; the gate goes on from what is whole, or does not begin."""

import contextlib
import random
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from kit.disks import break_table, needs_to_know_where
from kit.records import NOW, ending, event, hold, write
from tollkeeper.core.budget import Slice, Spent
from tollkeeper.core.errors import GateError
from tollkeeper.core.money import Price
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.balances import summed
from tollkeeper.stores.sqlite.damage import mend
from tollkeeper.stores.sqlite.keys import KeyStore
from tollkeeper.stores.sqlite.recovery import recover
from tollkeeper.stores.sqlite.reports import Reports
from tollkeeper.stores.sqlite.rollups import roll_up

DAY = 86_400_000
ALL = Slice("all", None, 0, 2**62)


def _now() -> float:
    return NOW / 1000


def _make(home: Path, *, summed_up: bool = True, events: int = 400) -> Spent:
    """A store with a past, its log emptied; what is spent."""
    keys = KeyStore(home, _now, lambda count: b"x" * count)
    keys.create("n")
    keys.close()
    draw = random.Random(3)
    held = [hold() for _ in range(20)]
    past = [
        event(
            started_at=NOW + draw.randrange(40 * DAY),
            key_id=f"key_{draw.randrange(5)}",
            cost_nano=draw.randrange(10**6),
        )
        for _ in range(events)
    ]
    write(home, [*past, *(ending(one) for one in held[:10])], held)
    with contextlib.closing(database.connect(home)) as writer:
        if summed_up:
            roll_up(writer, 10_000)
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return summed(writer, ALL)


def _spent(home: Path) -> Spent:
    with contextlib.closing(database.connect(home)) as reader:
        return summed(reader, ALL)


def test_a_sound_store_and_none_are_left_as_they_are(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert mend(home, _now) is None
    assert list(home.iterdir()) == []
    _make(home)
    before = (home / database.FILE).read_bytes()

    assert mend(home, _now) is None
    assert (home / database.FILE).read_bytes() == before


@needs_to_know_where
@pytest.mark.row(65)
@pytest.mark.parametrize("table", ["events", "keys", "sums", "sum_groups", "unsummed", "hours", "charged"])
@pytest.mark.parametrize("summed_up", [True, False])
def test_what_was_spent_is_known_though_a_table_is_broken(home: Path, table: str, summed_up: bool) -> None:
    spent = _make(home, summed_up=summed_up)
    break_table(home, table)
    broken = (home / database.FILE).read_bytes()

    if table == "events" and not summed_up:  # only these events knew
        with pytest.raises(GateError, match="what was spent is not known"):
            mend(home, _now)
        assert (home / database.FILE).read_bytes() == broken
        return
    damage = mend(home, _now)

    assert damage is not None
    assert table in damage.tables
    assert damage.file == str(home / "tollkeeper.db.damaged-20260101T000000")
    assert Path(damage.file).read_bytes() == broken
    assert mend(home, _now) is None
    assert _spent(home) == spent
    assert recover(home, lambda held: Price(version="v", request=5), NOW) == 10
    with contextlib.closing(database.connect(home)) as writer:
        while roll_up(writer, 1000):
            pass
    assert _spent(home) == Spent(spent.nano + 50, spent.tokens + 1000)
    reports = Reports(home)
    assert sum(row.attempts for row in reports.usage("key")) == 420
    with contextlib.closing(database.connect(home)) as reader:
        [(left,)] = reader.execute("SELECT count(*) FROM events")
    assert left == 420 or (table == "events" and 300 < left < 420)
    reports.close()


@needs_to_know_where
@pytest.mark.row(65)
@pytest.mark.parametrize("tables", [("holds",), ("detail",), ("events", "sums"), ("unsummed", "events")])
def test_where_it_is_not_known_the_gate_does_not_begin(home: Path, tables: tuple[str, ...]) -> None:
    _make(home)
    for table in tables:
        break_table(home, table)
    broken = (home / database.FILE).read_bytes()

    for _ in range(2):
        with pytest.raises(GateError, match="Put a backup in its place"):
            mend(home, _now)
    assert (home / database.FILE).read_bytes() == broken


@needs_to_know_where
def test_sums_are_not_made_again_where_detail_was_deleted(home: Path) -> None:
    _make(home)
    with contextlib.closing(database.connect(home)) as writer:
        writer.execute("UPDATE detail SET kept_from = ?", (NOW,))
    break_table(home, "sums")

    with pytest.raises(GateError, match="neither sums nor events are whole"):
        mend(home, _now)


def test_a_note_of_fresh_events_that_changed_is_found_and_made_again(home: Path) -> None:
    spent = _make(home, summed_up=False)
    with contextlib.closing(database.connect(home)) as writer:
        writer.execute("UPDATE unsummed SET attempts = 'x' || substr(attempts, 2) WHERE number = 1")

    damage = mend(home, _now)

    assert damage is not None
    assert "unsummed" in damage.tables
    assert mend(home, _now) is None
    assert _spent(home) == spent


def test_a_number_that_changed_in_the_sums_is_found_and_made_again(home: Path) -> None:
    spent = _make(home)
    with contextlib.closing(database.connect(home)) as writer:
        writer.execute("UPDATE sums SET cost_nano = cost_nano - 4096 WHERE span = 'month'")
    assert _spent(home) != spent

    damage = mend(home, _now)

    assert damage is not None
    assert damage.tables == ("sums",)
    assert _spent(home) == spent


@pytest.mark.row(65)
def test_a_store_that_was_cut_short_is_mended_or_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    spent = _make(whole)
    size = (whole / database.FILE).stat().st_size
    seen: Counter[str] = Counter()
    for part in range(1, 16):
        home = tmp_path / str(part)
        shutil.copytree(whole, home)
        with (home / database.FILE).open("r+b") as file:
            file.truncate(size * part // 16)
        seen[_outcome(home, spent)] += 1

    assert seen["mended"] + seen["refused"] == 15, seen


@pytest.mark.row(65)
def test_no_flipped_bit_makes_the_gate_forget_what_was_spent(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    spent = _make(whole)
    content = (whole / database.FILE).read_bytes()
    draw = random.Random(11)
    seen: Counter[str] = Counter()
    for number in range(120):
        home = tmp_path / str(number)
        shutil.copytree(whole, home)
        at = draw.randrange(len(content))
        flipped = bytes([content[at] ^ 1 << draw.randrange(8)])
        (home / database.FILE).write_bytes(content[:at] + flipped + content[at + 1 :])
        seen[_outcome(home, spent)] += 1
        shutil.rmtree(home)

    assert seen["forgot"] == 0
    assert seen["mended"] > 0


def _outcome(home: Path, spent: Spent) -> str:
    """What becomes of a store in which something is broken."""
    try:
        damage = mend(home, _now)
        now = _spent(home)
    except (GateError, sqlite3.DatabaseError):
        return "refused"
    if now != spent:
        return "forgot"
    return "unharmed" if damage is None else "mended"


@pytest.mark.row(65)
@pytest.mark.parametrize("tail", [b"\x00" * 5000, b"\xff" * 70_000, bytes(range(256)) * 40])
def test_garbage_at_the_end_of_the_log_is_left_out(home: Path, tail: bytes) -> None:
    _make(home)
    with contextlib.closing(database.connect(home)) as keeper:
        write(home, [event(cost_nano=7) for _ in range(30)])
        spent = summed(keeper, ALL)
        copy = home.parent / "copy"
        copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(home / f"{database.FILE}{suffix}", copy)
    with (copy / f"{database.FILE}-wal").open("ab") as log:
        log.write(tail)

    assert mend(copy, _now) is None
    assert _spent(copy) == spent
