"""The ledger on SQLite: holds before, events after, many in one transaction.

Rule 1: a hold is on disk before `hold` returns.
Rule 2: an event and the end of its hold are one transaction; an attempt has one event, whoever says it twice.
Rule 3: nobody waits for an end. Ends ride with the next transaction, in order, and are kept until one succeeds.
Rule 4: one thread writes. Whatever arrived while it was busy, or within a millisecond under load, is one transaction.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec

from tollkeeper.core.errors import GateError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite import database

_INSERT_HOLD = "INSERT INTO holds VALUES (?, ?, ?, ?)"
_DELETE_HOLD = "DELETE FROM holds WHERE request_id = ? AND attempt = ?"
_INSERT_EVENT = f"INSERT OR IGNORE INTO events VALUES ({', '.join('?' * 31)})"
_MOST = 512
_GATHER = 0.001
_RETRY = 0.5

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]
_encode = msgspec.json.encode


class _Stop:
    """The last thing the writer thread reads."""


class SqliteLedger:
    """Implements `core.ports.Ledger`. One per process and home."""

    def __init__(self, home: Path, on_trouble: Callable[[str], None]) -> None:
        self._home = home
        self._on_trouble = on_trouble
        self._queue: SimpleQueue[tuple[Hold, _Waiter] | Event | tuple[str, int] | _Stop] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._database = database.connect(home)
        self._healthy = True
        self._unwritten = 0

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the last transaction succeeded."""
        return self._healthy

    async def hold(self, hold: Hold) -> None:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._queue.put((hold, (loop, waiter)))
        await waiter

    def settle(self, event: Event) -> None:
        self._queue.put(event)

    def release(self, request_id: str, attempt: int) -> None:
        self._queue.put((request_id, attempt))

    def close(self, seconds: float = 10.0) -> bool:
        """Writes all that is queued and ends. False where something could not be written in `seconds`."""
        if self._thread.is_alive():
            self._queue.put(_Stop())
            self._thread.join(seconds)
        done = not self._thread.is_alive() and self._unwritten == 0
        if not self._thread.is_alive():
            self._database.close()
        return done

    # --- the writer thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        ends: list[Event | tuple[str, int]] = []
        stopping = False
        batch = 1
        while not stopping:
            holds: list[tuple[Hold, _Waiter]] = []
            try:
                item = self._queue.get(timeout=_RETRY) if ends else self._queue.get()
                if batch > 3:
                    time.sleep(_GATHER)
                while True:
                    if isinstance(item, _Stop):
                        stopping = True
                    elif isinstance(item, tuple) and isinstance(item[0], Hold):
                        holds.append(item)
                    else:
                        ends.append(item)
                    if len(holds) + len(ends) >= _MOST:
                        break
                    item = self._queue.get_nowait()
            except Empty:
                pass
            batch = len(holds)
            try:
                self._write(holds, ends)
            except sqlite3.Error as error:
                self._failed(holds, error)
            else:
                ends.clear()
                if not self._healthy:
                    self._healthy = True
                    self._on_trouble("")
                _resolve(holds, None)
        self._unwritten = len(ends)

    def _write(self, holds: list[tuple[Hold, _Waiter]], ends: list[Event | tuple[str, int]]) -> None:
        execute, executemany = self._database.execute, self._database.executemany
        execute("BEGIN IMMEDIATE")
        try:
            if holds:
                executemany(
                    _INSERT_HOLD, [(h.request_id, h.attempt, h.expires_at, _encode(h).decode()) for h, _ in holds]
                )
            if ends:
                events = [end for end in ends if isinstance(end, Event)]
                executemany(
                    _DELETE_HOLD, [end if isinstance(end, tuple) else (end.request_id, end.attempt) for end in ends]
                )
                executemany(_INSERT_EVENT, [row_of(event) for event in events])
            execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _failed(self, holds: list[tuple[Hold, _Waiter]], error: sqlite3.Error) -> None:
        if self._healthy:
            self._healthy = False
            self._on_trouble(str(error))
        _resolve(holds, error)
        # After a failed write or sync the old descriptor's state is unknown (fsync's error is told once, to one caller):
        # only a fresh one may report success.
        try:
            fresh = database.connect(self._home)
        except (GateError, sqlite3.Error, OSError):
            time.sleep(_RETRY)
            return
        self._database.close()
        self._database = fresh


def _resolve(holds: list[tuple[Hold, _Waiter]], error: sqlite3.Error | None) -> None:
    if not holds:
        return
    waiters = [waiter for _, (_, waiter) in holds]
    loop = holds[0][1][0]
    try:
        loop.call_soon_threadsafe(_wake, waiters, error)
    except RuntimeError:
        return  # the loop has ended, and with it everyone who waited


def _wake(waiters: list["asyncio.Future[None]"], error: sqlite3.Error | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(
                GateError(
                    "The ledger cannot be written; calls are refused until it can.",
                    code="ledger_unavailable",
                    headers=((b"retry-after", b"5"),),
                )
            )


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
