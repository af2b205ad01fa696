"""A job's journal: one SQLite file beside the output that knows every row that has an answer.

Rule 1: a row is in the journal before its slot is free for another, so a crash can cost at most the calls under way.
Rule 2: a row is written once; whoever finishes it again is ignored.
Rule 3: the journal is the only truth; every output file is made from it.
Rule 4: as in the ledger, rows are committed on the event loop, which takes microseconds, then the log is synced (see
        stores/sqlite/syncing.py), and only then are they written. A thread does what may take longer: it waits for another
        process's transaction, and moves pages from the log to the file.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.stores.sqlite.syncing import Syncer, sync_now, syncer

VERSION = 1
_MOST = 500
_GATHER = 0.003
"""Seconds between two commits: rows that end in between share one."""
_LONG_LOG = 4 * 1024 * 1024
"""Bytes of rows after which pages are moved from the log to the file."""
_AT_ONCE = 8 * 1024 * 1024
"""Bytes of rows' details that are read into memory together: of embeddings a hundred, of short answers thousands."""
_PATIENCE = 5000
"""Milliseconds to wait for another process's transaction."""
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
_EARLIER = """
CREATE TABLE IF NOT EXISTS earlier (
    idx       INTEGER PRIMARY KEY,
    attempts  INTEGER NOT NULL,
    cost_nano INTEGER
) STRICT
"""
_TOTALS = "SELECT count(*), coalesce(sum(failed), 0), coalesce(sum(attempts), 0), coalesce(sum(cost_nano), 0) FROM rows"
_NOT_YET = """
SELECT coalesce(sum(attempts), 0), coalesce(sum(cost_nano), 0) FROM earlier WHERE idx NOT IN (SELECT idx FROM rows)
"""
"""What rows have taken that failed and have not ended again."""
_SIZE = "SELECT count(*), coalesce(sum(length(detail)), 0) FROM rows WHERE idx >= ? AND idx < ?"
_LINES = """
SELECT CAST(group_concat(detail, char(10)) AS BLOB) FROM (SELECT detail FROM rows WHERE idx >= ? AND idx < ? ORDER BY idx)
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


def _values(row: Finished) -> tuple[int, int, int, int | None, int, bytearray]:
    """As a row of the table. For a bool, and for bytes, the module would first search for an adapter: that takes as long
    as half of the row (CPython's Modules/_sqlite/cursor.c, need_adapt)."""
    failed = 1 if row.failed else 0
    return row.index, failed, row.attempts, row.cost_nano, row.ended_at, bytearray(row.detail)


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
        try:
            self._log = os.open(path.with_name(path.name + "-wal"), os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            self._database.close()
            os.close(self._lock)
            raise GateError(f"{path}-wal: {error.strerror}.", code="journal_unavailable") from None
        self._earlier = self._reading() if self._has_earlier() else None
        self._syncer: Syncer = syncer(asyncio.get_running_loop(), self._thread, self._log)
        self._in_log = os.fstat(self._log).st_size
        """Bytes since pages were moved: at first what a killed run has left, then rows."""
        self._waiting: list[tuple[Finished, Callable[[], None]]] = []
        self._batch: list[tuple[Finished, Callable[[], None]]] = []
        self._busy = self._closed = False
        self._gathering: asyncio.TimerHandle | None = None
        """While rows wait for others to be written with."""
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
            self._gathering = asyncio.get_running_loop().call_later(_GATHER, self._begin)

    def hasten(self) -> None:
        """Nothing more is coming: what was put need not wait for company."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._begin()

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
        """Rows that failed are to be asked again; returns how many. `earlier` knows what they have taken so far."""
        with self._transaction():
            self._database.execute(_EARLIER)
            self._database.execute(
                "INSERT OR REPLACE INTO earlier SELECT idx, attempts, cost_nano FROM rows WHERE failed"
            )
            forgotten = self._database.execute("DELETE FROM rows WHERE failed").rowcount
        self._earlier = self._earlier or self._reading()
        return forgotten

    def earlier(self, index: int) -> tuple[int, int | None] | None:
        """Tries that a row took before it was to be asked again, and what they cost in nano-USD; None where it was not."""
        if self._earlier is None:
            return None
        query = "SELECT attempts, cost_nano FROM earlier WHERE idx = ?"
        found: tuple[int, int | None] | None = self._earlier.execute(query, (index,)).fetchone()
        return found

    def totals(self) -> Totals:
        rows, failed, attempts, cost = self._database.execute(_TOTALS).fetchone()
        if self._earlier is not None:
            [(more_attempts, more_cost)] = self._database.execute(_NOT_YET)
            attempts, cost = attempts + more_attempts, cost + more_cost
        return Totals(rows, failed, attempts, cost)

    def details(self, first: int = 0) -> Generator[tuple[int, bytes]]:
        """(row, detail) from `first` on, in order."""
        with closing(self._reading()) as reading:
            yield from reading.execute("SELECT idx, detail FROM rows WHERE idx >= ? ORDER BY idx", (first,))

    def unbroken(self, first: int, most: int) -> tuple[int, bytes]:
        """How many rows from `first` on have ended without a gap, and their details, a line each.

        At most `most`, and fewer where they are long.

        Without a gap it takes two statements: each row that one of them gives takes the interpreter's lock from the rows
        under way.
        """
        between = (first, first + most)
        with closing(self._reading()) as reading:
            [(ready, size)] = reading.execute(_SIZE, between)
            if ready == most and size <= _AT_ONCE:
                return most, reading.execute(_LINES, between).fetchone()[0] + b"\n"
        found: list[bytes] = []
        size = 0
        with closing(self.details(first)) as details:
            for index, line in details:
                if index != first + len(found) or len(found) == most or size > _AT_ONCE:
                    break
                found.append(line + b"\n")
                size += len(line)
        return len(found), b"".join(found)

    def ends(self) -> Iterator[tuple[int, bool, int, int | None]]:
        """(Unix ms, failed, attempts, nano-USD) of every row, in the order of their ends."""
        query = "SELECT ended_at, failed, attempts, cost_nano FROM rows ORDER BY ended_at"
        with closing(self._reading()) as reading:
            for at, failed, attempts, cost in reading.execute(query):
                yield at, bool(failed), attempts, cost

    def close(self, *, discard: bool = False) -> None:
        """Ends it; what was put and not written is lost, as in a crash: wait with `settled` first.

        `discard` takes its files away: of a job that was refused before it began.
        """
        self._closed = True
        self._thread.shutdown(wait=True)
        self._syncer.close()
        if self._earlier is not None:
            self._earlier.close()
        os.close(self._log)
        self._database.close()
        if discard:
            for path in (self.path, _lock_of(self.path)):  # the lock last, while it is held
                path.unlink(missing_ok=True)
        os.close(self._lock)

    def _has_earlier(self) -> bool:
        found = self._database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'earlier'")
        return found.fetchone() is not None

    def _reading(self) -> sqlite3.Connection:
        """A connection of its own: what is being written meanwhile is not seen half."""
        return sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, isolation_level=None)

    def _begin(self) -> None:
        self._gathering = None
        if self._closed:
            return
        self._batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        rows = [_values(row) for row, _ in self._batch]
        if self._in_log < _LONG_LOG:
            try:
                self._commit(rows)
            except sqlite3.Error as error:
                if not _is_busy(error):
                    self._ended(error)
                    return
            else:
                self._syncer.sync(self._log, self._ended)
                return
        slowly = asyncio.get_running_loop().run_in_executor(self._thread, self._slowly, rows)
        slowly.add_done_callback(lambda done: self._ended(done.exception()))

    def _commit(self, rows: list[tuple[Any, ...]]) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?, ?)", rows)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self._in_log += sum(len(row[-1]) for row in rows)

    def _slowly(self, rows: list[tuple[Any, ...]]) -> None:
        """On the thread: however long it has to wait, and with what makes the log short again."""
        with _patient(self._database):
            self._commit(rows)
            sync_now(self._log)
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._in_log = 0

    def _ended(self, error: BaseException | None) -> None:
        if self._closed:
            return
        batch, self._batch = self._batch, []
        if error is not None:
            self.trouble = GateError(f"{self.path} cannot be written: {error}.", code="journal_unavailable")
            self._waiting = []
            self._idle.set()
            if self.on_trouble is not None:
                self.on_trouble()
            return
        if self._waiting:
            self._gathering = asyncio.get_running_loop().call_later(_GATHER, self._begin)
        else:
            self._busy = False
            self._idle.set()
        for _, written in batch:
            written()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it on disk, or nothing; it may wait for another process's."""
        with _patient(self._database):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        sync_now(self._log)


@contextmanager
def _patient(database: sqlite3.Connection) -> Iterator[None]:
    database.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
    try:
        yield
    finally:
        database.execute("PRAGMA busy_timeout = 0")


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def _connect(path: Path) -> sqlite3.Connection:
    refused = f"{path} cannot be used as a journal"
    try:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE / 1000)
    except sqlite3.Error as error:
        raise GateError(f"{refused}: {error}.", code="journal_unavailable") from None
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            database.executescript("BEGIN IMMEDIATE;\n" + _SCHEMA + "COMMIT;")
        elif version != VERSION:
            raise GateError(f"{path} is a journal of version {version}; this Tollkeeper writes version {VERSION}.")
        database.execute("PRAGMA synchronous = NORMAL")  # the syncs are ours: Rule 4
        database.execute("PRAGMA busy_timeout = 0")
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.Error):
            raise GateError(f"{refused}: {error}.", code="journal_unavailable") from None
        raise
    return database


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _locked(path: Path) -> int:
    """Holds the lock file beside the journal. Raises CallerError (409) where another process runs this job."""
    lock = _lock_of(path)
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise GateError(f"{path} cannot be locked: {error.strerror}.", code="journal_unavailable") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise CallerError(f"Another process runs this job ({path}).", status=409, code="job_running") from None
        if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
            return descriptor
        os.close(descriptor)  # whoever discarded a job took it away after it was opened here
