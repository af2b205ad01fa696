"""Resources of ordinary routes and their revisions, in the store. Implements `core.revisions.Revisions`."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.revisions import Change, Revision, Stored
from tollkeeper.stores.sqlite import database as store
from tollkeeper.stores.sqlite.sole import make_home

_COLUMNS = "number, at, who, face, what, changes"


class SqliteRevisions:
    """One connection of its own. What it writes is on disk when a call returns; a foreign writer is waited for."""

    def __init__(self, home: Path, *, keep: int = 1000, create: bool = True) -> None:
        self.keep = keep
        """Revisions that can be looked at and undone; older ones are forgotten."""
        if create:
            make_home(home)
        self._database = store.connect(home, create=create)

    def load(self) -> tuple[dict[str, dict[str, Stored]], int]:
        found: dict[str, dict[str, Stored]] = {}
        rows = self._database.execute(
            "SELECT kind, id, value, created, modified, face, expires_at FROM resources ORDER BY created, place"
        )
        decode = msgspec.json.Decoder(dict).decode
        for kind, id, value, created, modified, face, expires_at in rows:
            found.setdefault(kind, {})[id] = Stored(decode(value), created, modified, face, expires_at)
        return found, self.newest()

    def commit(self, changes: Sequence[Change], *, at: int, who: str, face: str, what: str, after: int) -> Revision:
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            if self.newest() != after:
                raise CallerError(
                    "The routes have been changed meanwhile; look again.", status=409, code="revision_conflict"
                )
            number = after + 1
            self._write(changes, number, face)
            database.execute(
                f"INSERT INTO revisions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
                (number, at, who, face, what, msgspec.json.encode(changes).decode()),
            )
            database.execute("DELETE FROM revisions WHERE number <= ?", (number - self.keep,))
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise GateError(f"The routes cannot be written: {error}.", code="store_unavailable") from error
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
        return Revision(number, at, who, face, what, tuple(changes))

    def _write(self, changes: Sequence[Change], number: int, face: str) -> None:
        gone = [(change.kind, change.id) for change in changes if change.after is None]
        kept = [
            (
                *(change.kind, change.id, msgspec.json.encode(change.after).decode()),
                *(number, number, face, change.expires_at, place),
            )
            for place, change in enumerate(changes)
            if change.after is not None
        ]
        self._database.executemany("DELETE FROM resources WHERE kind = ? AND id = ?", gone)
        self._database.executemany(
            "INSERT INTO resources (kind, id, value, created, modified, face, expires_at, place)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value,"
            " modified = excluded.modified, face = excluded.face, expires_at = excluded.expires_at",
            kept,
        )

    def history(self, limit: int, before: int | None = None) -> list[Revision]:
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM revisions WHERE number < ? ORDER BY number DESC LIMIT ?",
            (1 << 62 if before is None else before, limit),
        )
        return [_revision(row) for row in rows]

    def get(self, number: int) -> Revision | None:
        row = self._database.execute(f"SELECT {_COLUMNS} FROM revisions WHERE number = ?", (number,)).fetchone()
        return None if row is None else _revision(row)

    def newest(self) -> int:
        found: int | None = self._database.execute("SELECT max(number) FROM revisions").fetchone()[0]
        return found or 0

    def close(self) -> None:
        """Closes the connection."""
        self._database.close()


def _revision(row: tuple[int, int, str, str, str, str]) -> Revision:
    number, at, who, face, what, changes = row
    return Revision(number, at, who, face, what, msgspec.json.decode(changes, type=tuple[Change, ...]))
