"""A job's parts: in its journal which rows are in which, beside its output what those rows ask.

Rule 1: a part and its file are on disk before anything of it is sent, and what is sent is noted before and after.
Rule 2: a row is in one part at a time, whose number stands beside it: results of any other are not its own.
"""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from tollkeeper.bulk.batches.service import Part
from tollkeeper.bulk.journal import Journal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS parts (
    number     INTEGER PRIMARY KEY,
    token      TEXT NOT NULL,
    path       TEXT NOT NULL,
    model      TEXT NOT NULL,
    rows       INTEGER NOT NULL,
    planned_at INTEGER NOT NULL,
    state      TEXT NOT NULL,
    batch      TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS part_rows (
    idx      INTEGER PRIMARY KEY,
    part     INTEGER NOT NULL,
    id       TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    bad      INTEGER NOT NULL,
    cost     INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS part_rows_part ON part_rows (part);
"""


BEGUN = "batches"
"""The journal's note that something may have been sent."""


class Row(Struct, frozen=True):
    """What is known of a row that is in a part. `id` is the input's own, as JSON."""

    index: int
    id: str
    attempts: int
    bad: int
    cost: int | None


class Kept(Struct):
    """A line of a part's file."""

    index: int
    body: Raw


_kept = msgspec.json.Decoder(Kept).decode
_COLUMNS = "number, token, path, model, rows, planned_at, state, batch"


class Parts:
    """Of one job. Blocking, for one thread at a time. Raises OSError and sqlite3.Error."""

    def __init__(self, journal: Journal, output: Path) -> None:
        self._database = sqlite3.connect(journal.path, isolation_level=None, check_same_thread=False, timeout=30)
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._output = output

    def close(self) -> None:
        self._database.close()

    def file(self, part: Part) -> Path:
        """What its rows ask: bodies in OpenAI's form, one line each."""
        return self._output.with_name(f"{self._output.name}.batch-{part.number}.jsonl")

    def unfinished(self) -> list[Part]:
        """Parts that have not ended, the first one first."""
        query = f"SELECT {_COLUMNS} FROM parts WHERE state <> 'ended' ORDER BY number"
        names = Part.__struct_fields__
        return [Part(**dict(zip(names, row, strict=True))) for row in self._database.execute(query)]

    def batches(self) -> frozenset[str]:
        """The provider's ids of all that were ever begun."""
        return frozenset(row[0] for row in self._database.execute("SELECT batch FROM parts WHERE batch IS NOT NULL"))

    def last(self) -> int:
        """The highest number; 0 where there is none."""
        found: int = self._database.execute("SELECT coalesce(max(number), 0) FROM parts").fetchone()[0]
        return found

    def indexes(self) -> Iterator[int]:
        """Rows that are in a part which has not ended."""
        return (row[0] for row in self._database.execute("SELECT idx FROM part_rows"))

    def plan(self, part: Part, rows: list[Row], lines: list[bytes]) -> None:
        """A new part of these rows, whose bodies are `lines`; they leave the part that they were in."""
        file = self.file(part)
        with file.open("wb") as stream:
            for row, body in zip(rows, lines, strict=True):
                stream.write(b'{"index":%d,"body":%b}\n' % (row.index, body))
            stream.flush()
            os.fsync(stream.fileno())
        _sync(file.parent)
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("INSERT OR REPLACE INTO job VALUES (?, '1')", (BEGUN,))
        values = msgspec.structs.astuple(part)
        self._database.execute(f"INSERT INTO parts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        self._database.executemany(
            "INSERT OR REPLACE INTO part_rows VALUES (?, ?, ?, ?, ?, ?)",
            [(row.index, part.number, row.id, row.attempts, row.bad, row.cost) for row in rows],
        )
        self._database.execute("COMMIT")

    def note(self, part: Part) -> None:
        """Its state and the provider's id of it."""
        self._database.execute(
            "UPDATE parts SET state = ?, batch = ? WHERE number = ?", (part.state, part.batch, part.number)
        )

    def rows(self, part: Part) -> dict[int, Row]:
        """Its rows by index."""
        query = "SELECT idx, id, attempts, bad, cost FROM part_rows WHERE part = ?"
        return {row[0]: Row(*row) for row in self._database.execute(query, (part.number,))}

    def bodies(self, part: Part) -> Iterator[tuple[int, bytes]]:
        """(index, body) of its rows, in the order of its lines."""
        with self.file(part).open("rb") as stream:
            for line in stream:
                kept = _kept(line)
                yield kept.index, bytes(kept.body)

    def end(self, part: Part) -> None:
        """All its rows have ended, or are in another part by now."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("UPDATE parts SET state = 'ended' WHERE number = ?", (part.number,))
        self._database.execute("DELETE FROM part_rows WHERE part = ?", (part.number,))
        self._database.execute("COMMIT")
        self.file(part).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
