"""The ledger on SQLite: holds before, events after, many in one transaction.

Rule 1: a hold is on disk before `hold` returns.
Rule 2: an event and the end of its hold are one transaction; an attempt has one event, whoever says it twice.
Rule 3: nobody waits for an end. Ends ride with the next transaction, in order, and are kept until one succeeds.
Rule 4: one transaction at a time, and whatever arrives meanwhile is the next. It is committed on the event loop, which
        takes microseconds, because a commit with synchronous=NORMAL only writes the log's pages to the system's cache; then
        the log is synced (syncing.py), and only then has it succeeded. Together that is synchronous=FULL.
Rule 5: what may wait for the disk or for another process is done on a thread, and so is everything after a failure, until a
        transaction has succeeded on files opened anew. It is tried again and again; meanwhile holds are refused at once.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tollkeeper.core.errors import GateError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.histogram import Histogram
from tollkeeper.stores.sqlite.database import VERSION
from tollkeeper.stores.sqlite.rows import End, Forgotten, HoldRow, Made, Once, Written, hold_row, put
from tollkeeper.stores.sqlite.syncing import Syncer, syncer
from tollkeeper.stores.sqlite.tally import Tally
from tollkeeper.stores.sqlite.writer import REPLACED, Writer

T = TypeVar("T")

_MOST = 512
_ENDS_WAIT = 0.005
"""Seconds that an end waits for a hold to ride with."""
_GATHER = 0.002
"""Seconds that a hold waits for others when the last transaction had several: fewer syncs, each of more rows."""
_NEVER = float("inf")
_RETRY = 0.5
_LOCK_WAIT = 5.0
"""Seconds to wait for another process's transaction."""
_SYNC_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.5, 2.0)
_BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class SqliteLedger:
    """Implements `core.ports.Ledger`. One per process and home; used from one event loop."""

    def __init__(self, home: Path, on_trouble: Callable[[str], None]) -> None:
        self._home = home
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ledger")
        self._writer = Writer(home)
        self._trusted = True
        """Whether the files opened last have not failed."""
        self._syncer: Syncer = syncer(self._loop, self._threads, self._writer.log)
        self._holds: list[HoldRow] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._ends: list[End] = []
        self._turns: deque[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]] = deque()
        self._under_way: tuple[list[HoldRow], list[asyncio.Future[None]], list[End]] = ([], [], [])
        self._busy = False
        self._on_thread: Future[Any] | None = None
        """What makes it busy, where that is a thread."""
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = _NEVER
        self._began = 0.0
        self._committed = False
        self._crowded = False
        self.healthy = True
        """Whether the last transaction succeeded."""
        self.transactions = self.rows = 0
        """Since whoever moves pages from the log to the store set them to 0."""
        self.sync_seconds = Histogram(_SYNC_SECONDS)
        """From a transaction's first row to its end, on disk."""
        self.batch_rows = Histogram(_BATCH_ROWS)
        self.on_event: Callable[[Event], None] = _nobody
        """Told of every event as it will be charged: when it is taken, or, of a mere look, when it is on disk."""
        self.tally = Tally()
        """Of what is on disk and not in the sums yet; to be used in a `turn`."""
        self._written: Written | None = None
        self._resting: list[Callable[[list[Event] | None], None]] = []

    @property
    def queued(self) -> int:
        """Holds and ends that wait for a transaction."""
        return len(self._holds) + len(self._ends)

    @property
    def log_bytes(self) -> int:
        """Size of the write-ahead log."""
        return self._writer.log_bytes

    def hold(self, hold: Hold) -> Awaitable[None]:
        if not self.healthy:
            raise cannot_be_written()
        waiter = self._loop.create_future()
        self._holds.append(hold_row(hold))
        self._waiters.append(waiter)
        if len(self._holds) == 1:
            self._schedule(_GATHER if self._crowded else 0)
        return waiter

    def settle(self, event: Event, once: str | None = None, *, look: bool = False) -> None:
        self._end(event if once is None else Once(event, once, look))
        if once is None or not look:
            self.on_event(event)

    def release(self, request_id: str, attempt: int) -> None:
        self._end((request_id, attempt))

    def remember(self, made: Made | Forgotten) -> None:
        """Queues what rides with the next ends."""
        self._end(made)

    async def turn(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` on a thread, between two transactions; one that it leaves open is undone. Raises what it raises,
        and sqlite3.Error while the ledger cannot be written.

        What it commits is on disk with the next hold, and never without what was committed before it.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._turns.append((work, future))
        self._schedule(0)
        return await future

    def at_rest(self, callback: Callable[[list[Event] | None], None]) -> None:
        """Runs `callback` once no transaction is under way, with the events that were taken and are not on disk.

        All others that were told of are on disk, where a snapshot begun in `callback` sees them. None: what is there cannot
        be told, as the ledger cannot be written.
        """
        if self._busy:
            self._resting.append(callback)
        else:
            callback(self._unwritten())

    def _unwritten(self) -> list[Event] | None:
        """Less the looks: what they are charged is decided when they are written."""
        if not self._trusted:
            return None
        ends = [end for end in self._ends if not isinstance(end, tuple)]
        return [end if isinstance(end, Event) else end.event for end in ends if isinstance(end, Event) or not end.look]

    def _rest(self) -> None:
        resting, self._resting = self._resting, []
        for callback in resting:
            callback(self._unwritten())

    async def check_files(self) -> None:
        """Takes nothing more where somebody has removed or replaced the store's files; what is written is saved first."""
        if self._trusted and self._writer.replaced():
            with contextlib.suppress(sqlite3.Error):
                await self.turn(lambda writer: writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())
            self._trusted = False
            self._failed(REPLACED)
            self._schedule(_RETRY)

    async def close(self, seconds: float = 10.0) -> bool:
        """Writes all that is queued and ends. False where something could not be written in `seconds`.

        What a thread still does is done, and its files are closed then.
        """
        until = self._loop.time() + seconds
        while (self._busy or self._ends or self._holds) and self._loop.time() < until:
            self._schedule(0)
            await asyncio.sleep(0.005)
        written = not self._busy and not self._ends
        if self._timer is not None:
            self._timer.cancel()
        self._closed = True
        self._threads.shutdown(wait=False)
        if not self._busy or self._on_thread is not None:  # else the disk still has them
            self._syncer.close()
        if not self._busy:
            self._writer.close()
        elif self._on_thread is not None:
            self._on_thread.add_done_callback(lambda _: self._writer.close())
        return written

    def _end(self, end: End) -> None:
        self._ends.append(end)
        if len(self._ends) == 1:
            self._schedule(_ENDS_WAIT)

    def _schedule(self, seconds: float) -> None:
        """The next transaction begins in `seconds`, or when the one under way has ended."""
        if self._busy or self._closed:
            return
        at = self._loop.time() + seconds
        if at < self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = at
            self._timer = self._loop.call_later(seconds, self._begin) if seconds else None
            if not seconds:
                self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._due = _NEVER
        if self._busy:
            return
        if self._turns:
            self._begin_turn()
            return
        if not (self._holds or self._ends) and self.healthy:
            return
        self._busy = True
        holds, self._holds = self._holds[:_MOST], self._holds[_MOST:]
        waiters, self._waiters = self._waiters[:_MOST], self._waiters[_MOST:]
        ends, self._ends = self._ends[:_MOST], self._ends[_MOST:]
        self._crowded = len(holds) > 1
        self._under_way = (holds, waiters, ends)
        self._began = self._loop.time()
        self._committed = False
        if self._trusted and self._commit(holds, ends):
            self._on_thread = None
            self._syncer.sync(self._writer.log, self._ended)
        else:
            slowly = self._start(self._slowly, holds, ends)
            slowly.add_done_callback(lambda done: self._ended(done.exception()))

    def _commit(self, holds: list[HoldRow], ends: list[End]) -> bool:
        """False where another process has the lock (a key is being made), or the disk is in trouble: a thread can wait."""
        database = self._writer.database
        try:
            database.execute("BEGIN IMMEDIATE")
            self._written = put(database, holds, ends)
            database.execute("COMMIT")
            self._committed = True
        except Exception as error:  # whatever it is, the thread meets it again, and then it is told
            self._writer.roll_back()
            self._trusted = _is_busy(error)
            return False
        return True

    def _ended(self, error: BaseException | None) -> None:
        holds, waiters, ends = self._under_way
        self._busy = False
        if error is None:
            for waiter, row in zip(waiters, holds, strict=True):
                if not waiter.done():
                    waiter.set_result(None)
                else:  # whoever waited was cancelled: nothing was sent
                    self.release(row[0], row[1])
            rows = len(holds) + len(ends)
            self.transactions += 1
            self.rows += rows
            self.batch_rows.observe(rows)
            self.sync_seconds.observe(self._loop.time() - self._began)
            written = self._written
            if written is not None:
                if written.number:
                    self.tally.add(written.number, written.rows)
                for event in written.looks:
                    self.on_event(event)
            self._trusted = True
            if not self.healthy:
                self.healthy = True
                self._on_trouble("")
        else:
            self._trusted = False
            self.tally.parts.clear()
            # What was committed and not synced may be found on disk or not: the holds are released, the ends said again.
            self._ends = ends + [(row[0], row[1]) for row in holds if self._committed] + self._ends
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(cannot_be_written())
            self._failed(str(error))
        self._rest()
        if self._turns:
            self._schedule(0)
        elif error is not None:
            self._schedule(_RETRY)
        elif self._holds:
            self._schedule(_GATHER if self._crowded else 0)
        elif self._ends:
            self._schedule(_ENDS_WAIT)

    def _failed(self, why: str) -> None:
        if self.healthy:
            self.healthy = False
            self._on_trouble(why)
        waiters, self._waiters, self._holds = self._waiters, [], []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(cannot_be_written())

    def _begin_turn(self) -> None:
        self._busy = True
        work, future = self._turns.popleft()
        running = self._start(self._work, work)

        def ended(done: "asyncio.Future[T]") -> None:
            self._busy = False
            error = done.exception()
            if not future.done():
                if error is None:
                    future.set_result(done.result())
                else:
                    future.set_exception(error)
            self._rest()
            self._schedule(0 if self.healthy else _RETRY)

        running.add_done_callback(ended)

    def _start(self, work: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        running = self._on_thread = self._threads.submit(work, *arguments)
        return asyncio.wrap_future(running, loop=self._loop)

    # --- on a thread ------------------------------------------------------------------------------------------------

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if not self._trusted:
            raise sqlite3.OperationalError("the ledger cannot be written")
        try:
            return work(self._writer.database)
        finally:
            self._writer.roll_back()

    def _slowly(self, holds: list[HoldRow], ends: list[End]) -> None:
        """The whole of a transaction, whatever it has to wait for. Raises what went wrong."""
        if not self._trusted:
            self._writer = self._writer.opened_anew()
        database = self._writer.database
        until = time.monotonic() + _LOCK_WAIT
        try:
            while True:
                try:
                    database.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() > until:
                        raise
                time.sleep(0.005)
            self._written = put(database, holds, ends)
            if not (holds or ends):
                database.execute(
                    f"PRAGMA user_version = {VERSION}"
                )  # the least that must be written to know that it can
            database.execute("COMMIT")
            self._committed = True
            self._writer.sync()
        finally:
            self._writer.roll_back()


def _nobody(event: Event) -> None:
    """Nobody wants to know."""


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def cannot_be_written() -> GateError:
    """What a call is answered while nothing can be held."""
    return GateError(
        "The ledger cannot be written; calls are refused until it can.",
        code="ledger_unavailable",
        headers=((b"retry-after", b"5"),),
    )
