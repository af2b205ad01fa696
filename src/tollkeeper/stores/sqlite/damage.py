"""A damaged store: found before the gate begins, set aside, and replaced by what is whole of it, if that is safe for money.

It is safe where what was spent is still known to the last event: from the sums, with every event that is not in them yet;
or from the events, if none has been deleted. Else nothing is changed and the gate does not begin: a budget that has
forgotten what was spent would let it be spent again. Keys that are lost are refused, which costs nobody money.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from tollkeeper.core.errors import GateError
from tollkeeper.core.ids import Clock
from tollkeeper.stores.sqlite import database as store

_PATIENCE = 0.5
"""Seconds for the look at the start; of a great store, what is not looked at then is left to `verify`."""
_FIRST = ("keys", "holds", "detail", "unsummed", "sum_groups", "sums")
_SALVAGE = "salvage"
_SPANS = (
    "SELECT count(DISTINCT attempts), count(DISTINCT cost_nano), count(DISTINCT tokens), count(*) FROM"
    " (SELECT sum(attempts) AS attempts, sum(cost_nano) AS cost_nano, sum(input_tokens + output_tokens) AS tokens"
    " FROM sums GROUP BY span, of = 0)"
)


class Damage(Struct, frozen=True):
    """What was found and done."""

    file: str
    """Where the damaged store is now."""
    tables: tuple[str, ...]
    """Those that were not whole; rows of them may be missing."""


def mend(home: Path, now: Clock) -> Damage | None:
    """Looks at the store before anyone relies on it; None where it is sound, or not there yet.

    Only for who holds the home. Raises GateError where it is damaged and cannot be gone on with.
    """
    path = home / store.FILE
    shutil.rmtree(home / _SALVAGE, ignore_errors=True)
    if not path.exists():
        return None
    try:
        damaged = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    except sqlite3.Error:
        return None  # whoever opens it next says so
    try:
        try:
            if damaged.execute("PRAGMA user_version").fetchone()[0] != store.VERSION:
                return None
        except sqlite3.Error:
            return None
        found = _looked_at(damaged)
        if not found:
            return None
        lost = _salvaged(damaged, home, found)
        busy, *_ = damaged.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise GateError(f"{path} is damaged and in use. End whatever else has it open.")
    except (sqlite3.Error, OSError) as error:
        raise _refusal(path, str(error)) from None
    finally:
        damaged.close()
    return Damage(str(_exchanged(home, now)), tuple(sorted(lost)))


def _looked_at(damaged: sqlite3.Connection) -> set[str]:
    """Tables that are not whole, as far as a short look can tell."""
    until = time.monotonic() + _PATIENCE
    damaged.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    found: set[str] = set()
    try:
        names = [row[0] for row in damaged.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        later = sorted(set(names) - set(_FIRST) - {"events"} - {n for n in names if n.startswith("sqlite_")})
        for table in (*_FIRST, *later, "events"):
            try:
                said = damaged.execute(f"PRAGMA quick_check({table})").fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                    break
                raise
            except sqlite3.DatabaseError:
                said = []
            if said != [("ok",)]:
                found.add(table)
        if "unsummed" not in found and not _notes_can_be_read(damaged):
            found.add("unsummed")
        if "sums" not in found and time.monotonic() < until and not _spans_agree(damaged):
            found.add("sums")
    finally:
        damaged.set_progress_handler(None, 0)
    return found


def _notes_can_be_read(reader: sqlite3.Connection) -> bool:
    """What is noted of events that are not summed yet."""
    try:
        return reader.execute("SELECT 1 FROM unsummed WHERE NOT json_valid(attempts) LIMIT 1").fetchone() is None
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT


def _spans_agree(reader: sqlite3.Connection) -> bool:
    """Hours, days and months, by group and in all, are sums of the same events."""
    try:
        [(attempts, cost, tokens, spans)] = reader.execute(_SPANS)
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT
    except sqlite3.DatabaseError:
        return False
    return bool(spans == 0 or (attempts, cost, tokens, spans) == (1, 1, 1, 6))


def _salvaged(damaged: sqlite3.Connection, home: Path, found: set[str]) -> set[str]:
    """Makes a store of what can be read, and what was lost. Raises GateError where that is not safe for money."""
    folder = home / _SALVAGE
    folder.mkdir(mode=0o700)
    fresh = store.connect(folder)
    try:
        tables = [row[0] for row in fresh.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        fresh.execute("BEGIN IMMEDIATE")
        lost = found | {table for table in tables if not _copied(damaged, fresh, table)}
        _make_sound(fresh, lost, home / store.FILE)
        fresh.execute("COMMIT")
        if fresh.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise _refusal(home / store.FILE, "what is left of it contradicts itself")
        fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        fresh.close()
    return lost


def _copied(damaged: sqlite3.Connection, fresh: sqlite3.Connection, table: str) -> bool:
    """Copies what can be read from the table's beginning, and what can from its end. False where that is not all."""
    columns = fresh.execute(f"PRAGMA table_info({table})").fetchall()
    key = [row[1] for row in sorted(columns, key=lambda row: row[5]) if row[5]] or ["rowid"]
    names = ", ".join(row[1] for row in columns)
    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"
    fresh.execute(f"DELETE FROM {table}")
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{name} {direction}" for name in key)
        try:
            fresh.executemany(insert, _read(damaged, f"SELECT {names} FROM {table} ORDER BY {order}"))
        except _Broken:
            continue
        return direction == "ASC"
    return False


class _Broken(Exception):
    """A table cannot be read on."""


def _read(damaged: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    """An error in reading is told from one in writing."""
    try:
        yield from damaged.execute(query)
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        raise _Broken from None


def _make_sound(fresh: sqlite3.Connection, lost: set[str], path: Path) -> None:
    if lost & {"holds", "detail"}:
        raise _refusal(path, f"the table {' and '.join(sorted(lost & {'holds', 'detail'}))} is not whole")
    [(kept_from,)] = fresh.execute("SELECT kept_from FROM detail")
    if lost & {"sums", "sum_groups", "unsummed"}:
        if "events" in lost or kept_from:
            raise _refusal(path, "neither sums nor events are whole")
        for table in ("sums", "sum_groups", "hours", "unsummed"):
            fresh.execute(f"DELETE FROM {table}")
        fresh.execute("INSERT INTO unsummed (attempts) SELECT json_array(json_array(request_id, attempt)) FROM events")
        return
    missing = "SELECT count(*) FROM fresh LEFT JOIN events USING (request_id, attempt) WHERE started_at IS NULL"
    if fresh.execute(missing).fetchone()[0]:
        raise _refusal(path, "events are missing that were not in the sums yet")
    if lost & {"events", "hours"}:
        # Of the hours that lost events only sums are known now: questions must not look for their parts.
        fresh.execute("DELETE FROM hours")
        fresh.execute(
            "INSERT INTO hours SELECT started_at - started_at % 3600000 AS hour, min(request_id), max(request_id)"
            " FROM events GROUP BY hour"
        )
    if "events" in lost:
        fresh.execute("UPDATE detail SET kept_from = (SELECT max(start) + 3600000 FROM sums WHERE span = 'hour')")


def _exchanged(home: Path, now: Clock) -> Path:
    """One step for whoever looks: the store is the damaged one or the salvaged one, and the damaged one is never gone."""
    path = home / store.FILE
    aside = home / f"{store.FILE}.damaged-{datetime.fromtimestamp(now(), UTC):%Y%m%dT%H%M%S}"
    for suffix in ("-wal", "-shm"):  # emptied before; a log is nothing to another store
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.link(path, aside)
    os.replace(home / _SALVAGE / store.FILE, path)
    folder = os.open(home, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    shutil.rmtree(home / _SALVAGE, ignore_errors=True)
    return aside


def _refusal(path: Path, why: str) -> GateError:
    return GateError(
        f"The store {path} is damaged, and what was spent is not known from what is left of it: {why}. Nothing was changed."
        " Put a backup in its place; see Operation in the documentation."
    )
