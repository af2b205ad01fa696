"""A job's journal: one SQLite file beside the output that knows every row that has an answer.

Rule 1: a row is in the journal before its slot is free for another, so a crash can cost at most the calls under way.
Rule 2: a row is written once; whoever finishes it again is ignored.
Rule 3: the journal is the only truth; every output file is made from it.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tollkeeper.core.errors import CallerError, GateError

VERSION = 1
_MOST = 500
_GATHER = 0.003
"""Seconds between two commits: rows that end in between share one."""
_SCHEMA = f"""
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE rows (
    idx       INTEGER PRIMARY KEY,
    failed    INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    cost_nano INTEGER,
    ended_at  INTEGER NOT NULL,
    detail    BLOB NOT NULL
) STRICT;
PRAGMA user_version = {VERSION};
"""


class Finished(Struct, frozen=True, kw_only=True):
    """One row's end. `detail` is what the output shows of it, as JSON (see `export`)."""

    index: int
    failed: bool
    attempts: int
    cost_nano: int | None
    ended_at: int
    """Unix milliseconds."""
    detail: bytes


class Totals(Struct, frozen=True):
    """What the journal holds."""

    rows: int
    failed: int
    attempts: int
    cost_nano: int


class Journal:
    """One job's file, held by one process. Opened in the event loop that writes it; raises GateError where it cannot be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)
        try:
            self._database = _connect(path)
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[tuple[Finished, Callable[[], None]]] = []
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.trouble: GateError | None = None
        """Why rows can no longer be written; the job must stop."""
        self.on_trouble: Callable[[], None] | None = None
        """Called once when there is trouble: nothing that was put will be written any more."""

    # --- what the job is --------------------------------------------------------------------------------------------

    def about(self) -> dict[str, str]:
        """What was noted about the job; empty where it is new."""
        return dict(self._database.execute("SELECT name, value FROM job"))

    def note(self, **values: str) -> None:
        """Notes something about the job."""
        with self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO job VALUES (?, ?)", list(values.items()))

    # --- rows -------------------------------------------------------------------------------------------------------

    def put(self, row: Finished, written: Callable[[], None]) -> None:
        """Queues a row's end; `written` is called when it is on disk. Nothing is called once there is trouble."""
        if self.trouble is not None:
            return
        self._waiting.append((row, written))
        self._idle.clear()
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_later(_GATHER, self._begin)

    @property
    def backlog(self) -> int:
        """Rows that were put and are not yet being written."""
        return len(self._waiting)

    async def settled(self) -> None:
        """Returns when all that was put is on disk. Raises GateError where it cannot be written."""
        await self._idle.wait()
        if self.trouble is not None:
            raise self.trouble

    def done(self) -> bytearray:
        """One byte a row, 1 = ended, 2 = failed; as long as the highest row that has ended."""
        last = self._database.execute("SELECT coalesce(max(idx), -1) FROM rows").fetchone()[0]
        found = bytearray(last + 1)
        for index, failed in self._database.execute("SELECT idx, failed FROM rows"):
            found[index] = 2 if failed else 1
        return found

    def forget_failed(self) -> int:
        """Rows that failed are to be asked again; returns how many."""
        with self._transaction():
            return self._database.execute("DELETE FROM rows WHERE failed").rowcount

    def totals(self) -> Totals:
        row = self._database.execute(
            "SELECT count(*), coalesce(sum(failed), 0), coalesce(sum(attempts), 0), coalesce(sum(cost_nano), 0) FROM rows"
        ).fetchone()
        return Totals(*row)

    def details(self, first: int = 0) -> Generator[tuple[int, bytes]]:
        """(row, detail) from `first` on, in order."""
        with closing(self._reading()) as reading:
            yield from reading.execute("SELECT idx, detail FROM rows WHERE idx >= ? ORDER BY idx", (first,))

    def ends(self) -> Iterator[tuple[int, bool, int, int | None]]:
        """(Unix ms, failed, attempts, nano-USD) of every row, in the order of their ends."""
        query = "SELECT ended_at, failed, attempts, cost_nano FROM rows ORDER BY ended_at"
        with closing(self._reading()) as reading:
            for at, failed, attempts, cost in reading.execute(query):
                yield at, bool(failed), attempts, cost

    def close(self) -> None:
        """Ends it; what was put and not written is lost, as in a crash: wait with `settled` first."""
        self._thread.shutdown(wait=True)
        self._database.close()
        os.close(self._lock)

    def _reading(self) -> sqlite3.Connection:
        """A connection of its own: what is being written meanwhile is not seen half."""
        return sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, isolation_level=None)

    def _begin(self) -> None:
        batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self._thread, self._write, [row for row, _ in batch])
        writing.add_done_callback(lambda done: self._ended(done, batch))

    def _write(self, rows: list[Finished]) -> None:
        with self._transaction():
            self._database.executemany(
                "INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?, ?)", [msgspec.structs.astuple(row) for row in rows]
            )

    def _ended(self, done: "asyncio.Future[None]", batch: list[tuple[Finished, Callable[[], None]]]) -> None:
        error = done.exception()
        if error is not None:
            self.trouble = GateError(f"{self.path} cannot be written: {error}.", code="journal_unavailable")
            self._waiting = []
            self._idle.set()
            if self.on_trouble is not None:
                self.on_trouble()
            return
        if self._waiting:
            asyncio.get_running_loop().call_later(_GATHER, self._begin)
        else:
            self._busy = False
            self._idle.set()
        for _, written in batch:
            written()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._database)


class _Transaction:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._database.execute("ROLLBACK" if kind is not None else "COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            database.executescript("BEGIN IMMEDIATE;\n" + _SCHEMA + "COMMIT;")
        elif version != VERSION:
            raise GateError(f"{path} is a journal of version {version}; this Tollkeeper writes version {VERSION}.")
    except sqlite3.Error as error:
        raise GateError(f"{path} cannot be used as a journal: {error}.", code="journal_unavailable") from None
    return database


def _locked(path: Path) -> int:
    """Holds the lock file beside the journal. Raises CallerError (409) where another process runs this job."""
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise GateError(f"{path} cannot be locked: {error.strerror}.", code="journal_unavailable") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise CallerError(f"Another process runs this job ({path}).", status=409, code="job_running") from None
    return descriptor
