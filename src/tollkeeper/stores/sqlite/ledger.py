"""The ledger on SQLite: holds before, events after, many in one transaction.

Rule 1: a hold is on disk before `hold` returns.
Rule 2: an event and the end of its hold are one transaction; an attempt has one event, whoever says it twice.
Rule 3: nobody waits for an end. Ends ride with the next transaction, in order, and are kept until one succeeds.
Rule 4: one transaction at a time. Its rows are put in on the event loop, microseconds each in memory; what waits for the
        disk (the lock, the commit) is done by one thread, and whatever arrives meanwhile is the next transaction.

Rows are not put in by that thread: sqlite3 gives up the interpreter's lock at every step, and taking it back from a busy
event loop cost more than the rows themselves.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import msgspec

from tollkeeper.core.errors import GateError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.usage import NOTHING, Usage
from tollkeeper.stores.sqlite import database

_INSERT_HOLD = "INSERT INTO holds VALUES (?, ?, ?, ?)"
_DELETE_HOLD = "DELETE FROM holds WHERE request_id = ? AND attempt = ?"
_INSERT_EVENT = f"INSERT OR IGNORE INTO events VALUES ({', '.join('?' * 34)})"
_MOST = 512
_ENDS_WAIT = 0.005
"""Seconds that an end waits for a hold to ride with."""
_GATHER = 0.001
"""Seconds that a hold waits for others when the last transaction had several: fewer syncs, each of more rows."""
_NEVER = float("inf")
_RETRY = 0.5
_LOCK_WAIT = 5.0
"""Seconds to wait for another process's transaction."""

_HoldRow = tuple[str, int, int, str]


class _Once(msgspec.Struct, frozen=True):
    """An event whose usage is charged under `id`; a mere `look` at it only if that has not been charged before."""

    event: Event
    id: str
    look: bool


_Ends = list[Event | _Once | tuple[str, int]]
_Work = tuple[Callable[[], None], list["asyncio.Future[None]"], _Ends]
_encode = msgspec.json.Encoder().encode


class SqliteLedger:
    """Implements `core.ports.Ledger`. One per process and home; used from one event loop."""

    def __init__(self, home: Path, on_trouble: Callable[[str], None]) -> None:
        self._home = home
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._database = database.connect(home, wait=0)
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()
        self._holds: list[_HoldRow] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._ends: _Ends = []
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = _NEVER
        self._crowded = False
        self.healthy = True
        """Whether the last transaction succeeded."""
        self.on_event: Callable[[Event], None] = _nobody
        """Told of every event as it will be charged: when it is taken, or, of a mere look, when that was decided."""
        self._looks: list[Event] = []
        self._resting: list[Callable[[list[Event]], None]] = []

    async def hold(self, hold: Hold) -> None:
        waiter = self._loop.create_future()
        self._holds.append((hold.request_id, hold.attempt, hold.expires_at, _encode(hold).decode()))
        self._waiters.append(waiter)
        if len(self._holds) == 1:
            self._schedule(_GATHER if self._crowded else 0)
        try:
            await waiter
        except asyncio.CancelledError:
            self.release(hold.request_id, hold.attempt)  # nothing was sent
            raise

    def settle(self, event: Event, once: str | None = None, *, look: bool = False) -> None:
        self._ends.append(event if once is None else _Once(event, once, look))
        if once is None or not look:
            self.on_event(event)
        if len(self._ends) == 1:
            self._schedule(_ENDS_WAIT)

    def release(self, request_id: str, attempt: int) -> None:
        self._ends.append((request_id, attempt))
        if len(self._ends) == 1:
            self._schedule(_ENDS_WAIT)

    def at_rest(self, callback: Callable[[list[Event]], None]) -> None:
        """Runs `callback` as soon as no transaction is under way: with the events then taken and not yet on disk.

        All others that it was told of are on disk, where a snapshot begun in `callback` sees them.
        """
        if self._busy:
            self._resting.append(callback)
        else:
            callback(self._unwritten())

    def _unwritten(self) -> list[Event]:
        """Less the looks: what they are charged is decided when they are written."""
        events = [end.event if isinstance(end, _Once) else end for end in self._ends if not _is_look(end)]
        return [event for event in events if isinstance(event, Event)]

    async def close(self, seconds: float = 10.0) -> bool:
        """Writes all that is queued and ends. False where something could not be written in `seconds`."""
        until = self._loop.time() + seconds
        while (self._busy or self._ends or self._holds) and self._loop.time() < until:
            self._schedule(0)
            await asyncio.sleep(0.005)
        written = not self._busy and not self._ends
        self._work.put(None)
        if written:
            self._thread.join()
            self._database.close()
        return written

    def _schedule(self, seconds: float) -> None:
        """The next transaction begins in `seconds`, or when the one under way has ended."""
        if self._busy:
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
        if self._busy or not (self._holds or self._ends):
            return
        self._busy = True
        holds, self._holds = self._holds[:_MOST], self._holds[_MOST:]
        waiters, self._waiters = self._waiters[:_MOST], self._waiters[_MOST:]
        ends, self._ends = self._ends[:_MOST], self._ends[_MOST:]
        self._crowded = len(holds) > 1
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._put(holds, ends)
        except sqlite3.Error:
            # The lock is another process's (a key is being made), or the disk is in trouble: the thread can wait for it.
            self._roll_back()
            self._work.put((lambda: self._all_of_it(holds, ends), waiters, ends))
        else:
            self._work.put((self._commit, waiters, ends))

    def _put(self, holds: list[_HoldRow], ends: _Ends) -> None:
        executemany = self._database.executemany
        self._looks = []
        if holds:
            executemany(_INSERT_HOLD, holds)
        if ends:
            events = [end if isinstance(end, Event) else self._once(end) for end in ends if not isinstance(end, tuple)]
            executemany(_DELETE_HOLD, [(event.request_id, event.attempt) for event in events])
            if len(events) < len(ends):
                executemany(_DELETE_HOLD, [end for end in ends if isinstance(end, tuple)])
            executemany(_INSERT_EVENT, [row_of(event) for event in events])

    def _once(self, end: "_Once") -> Event:
        event = end.event
        marked = self._database.execute("INSERT OR IGNORE INTO charged VALUES (?, ?)", (event.provider, end.id))
        if not end.look:
            return event
        if not marked.rowcount:
            event = msgspec.structs.replace(event, usage=NOTHING, cost_nano=0, usage_raw=None, quality="counted")
        self._looks.append(event)
        return event

    def _ended(self, error: BaseException | None, waiters: list["asyncio.Future[None]"], ends: _Ends) -> None:
        self._busy = False
        if error is None:
            for event in self._looks:
                self.on_event(event)
            self._rest()
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            if not self.healthy:
                self.healthy = True
                self._on_trouble("")
            if self._holds:
                self._schedule(_GATHER if self._crowded else 0)
            elif self._ends:
                self._schedule(_ENDS_WAIT)
            return
        self._ends = ends + self._ends
        self._rest()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(
                    GateError(
                        "The ledger cannot be written; calls are refused until it can.",
                        code="ledger_unavailable",
                        headers=((b"retry-after", b"5"),),
                    )
                )
        if self.healthy:
            self.healthy = False
            self._on_trouble(str(error))
        self._schedule(0 if self._holds else _RETRY)

    def _rest(self) -> None:
        resting, self._resting = self._resting, []
        for callback in resting:
            callback(self._unwritten())

    # --- on the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            task, waiters, ends = work
            failed: Exception | None = None
            try:
                task()
            except Exception as error:
                failed = error
                self._reopen()
            try:
                self._loop.call_soon_threadsafe(self._ended, failed, waiters, ends)
            except RuntimeError:
                return  # the loop has ended, and with it everyone who waited

    def _commit(self) -> None:
        self._database.execute("COMMIT")

    def _all_of_it(self, holds: list[_HoldRow], ends: _Ends) -> None:
        until = time.monotonic() + _LOCK_WAIT
        while True:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(0.005)
        self._put(holds, ends)
        self._database.execute("COMMIT")

    def _reopen(self) -> None:
        """After a failed write or sync the old descriptor's state is unknown (fsync's error is told once, to one caller):
        only a fresh one may report success.
        """
        self._roll_back()
        try:
            fresh = database.connect(self._home, wait=0)
        except (GateError, sqlite3.Error, OSError):
            time.sleep(_RETRY)
            return
        self._database.close()
        self._database = fresh

    def _roll_back(self) -> None:
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        except sqlite3.Error:
            return


def _nobody(event: Event) -> None:
    """Nobody wants to know."""


def _is_look(end: Event | _Once | tuple[str, int]) -> bool:
    return isinstance(end, _Once) and end.look


def row_of(event: Event) -> tuple[object, ...]:
    """The event as a row of the table `events`, column by column."""
    usage = event.usage
    return (
        event.request_id,
        event.attempt,
        event.started_at,
        event.key_id,
        event.owner,
        event.team,
        event.operation,
        event.dialect,
        event.model_asked,
        event.provider,
        event.model,
        event.model_used,
        event.streamed,
        event.outcome,
        event.status,
        event.error_code,
        event.quality,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.audio_input_tokens,
        usage.cached_audio_input_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.audio_output_tokens,
        event.cost_nano,
        event.price_version,
        event.usage_raw,
        event.first_byte_ms,
        event.duration_ms,
        event.overhead_ms,
        event.held_nano,
        event.saved_nano,
        event.trace,
    )


def event_of(row: tuple[object, ...]) -> Event:
    """The reverse of `row_of`."""
    names = Event.__struct_fields__
    tokens = Usage.__struct_fields__
    at = names.index("usage")
    values = dict(zip(names[:at], row[:at], strict=True))
    values["usage"] = dict(zip(tokens, row[at : at + len(tokens)], strict=True))
    values |= dict(zip(names[at + 1 :], row[at + len(tokens) :], strict=True))
    return msgspec.convert(values, Event, strict=False)


def recover(home: Path, price: Callable[[Hold, Usage], tuple[int | None, str | None]]) -> int:
    """Turns every hold that a crash left open into a `recovered` event; returns how many. Running it again changes nothing.

    What the provider did with such an attempt is unknown. It is recorded with the input that was sent, bounded by its
    bytes, and no output; `price` gives the cost of that.
    """
    connection = database.connect(home)
    try:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute("SELECT detail FROM holds ORDER BY request_id, attempt").fetchall()
        for (detail,) in rows:
            hold = msgspec.json.decode(detail, type=Hold)
            connection.execute(_INSERT_EVENT, row_of(_recovered(hold, price)))
            connection.execute(_DELETE_HOLD, (hold.request_id, hold.attempt))
        connection.execute("COMMIT")
        return len(rows)
    finally:
        connection.close()


def _recovered(hold: Hold, price: Callable[[Hold, Usage], tuple[int | None, str | None]]) -> Event:
    usage = Usage(input_tokens=hold.input_bound)
    cost, version = price(hold, usage)
    return Event(
        request_id=hold.request_id,
        attempt=hold.attempt,
        started_at=hold.started_at,
        key_id=hold.key_id,
        owner=hold.owner,
        team=hold.team,
        operation=hold.operation,
        dialect=hold.dialect,
        model_asked=hold.model_asked,
        provider=hold.provider,
        model=hold.model,
        model_used=None,
        streamed=hold.streamed,
        outcome="unknown",
        status=0,
        error_code="gate_crashed",
        quality="recovered",
        usage=usage,
        cost_nano=cost,
        price_version=version,
        usage_raw=None,
        first_byte_ms=None,
        duration_ms=0.0,
        overhead_ms=0.0,
    )
