"""Refusals on SQLite: written in turns of the ledger's, so many a second and so many in all, never more.

A key that is refused a thousand times a second must fill neither the disk nor the ledger's queue.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Annotated

from msgspec import Meta, Struct

from tollkeeper.core.ids import Clock
from tollkeeper.core.limits import Positive
from tollkeeper.core.refusals import Refusal

_COLUMNS = ", ".join(Refusal.__struct_fields__)
_INSERT = f"INSERT OR IGNORE INTO refusals ({_COLUMNS}) VALUES ({', '.join('?' * len(Refusal.__struct_fields__))})"
_TRIM = "DELETE FROM refusals WHERE number <= (SELECT max(number) FROM refusals) - ?"
_MOST_WAITING = 1000
"""In memory, while the store cannot be written."""
_GATHER = 0.1
_RETRY = 1.0
"""Seconds."""

Turn = Callable[[Callable[[sqlite3.Connection], None]], Awaitable[None]]
"""Runs what it is given on the ledger's connection between two of its transactions; raises what that raises."""


class RefusalBounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many refusals are kept for `explain`."""

    refusals_per_second: Annotated[int, Meta(ge=0)] = 50
    """0: none are kept."""
    refusals_kept: Positive = 100_000
    """The oldest are forgotten first."""


class Refusals:
    """Takes refusals in and writes them a moment later, many together. Used from one event loop."""

    def __init__(self, bounds: RefusalBounds, turn: Turn, monotonic: Clock) -> None:
        self.bounds = bounds
        self.unwritten = 0
        """Refusals that came too fast to be kept."""
        self._turn = turn
        self._monotonic = monotonic
        self._waiting: list[Refusal] = []
        self._allowed = float(bounds.refusals_per_second)
        self._at = monotonic()
        self._writing: asyncio.Task[None] | None = None

    def add(self, refusal: Refusal) -> None:
        """Keeps it, or only counts it where too many come."""
        now, rate = self._monotonic(), self.bounds.refusals_per_second
        self._allowed = min(float(rate), self._allowed + (now - self._at) * rate)
        self._at = now
        if self._allowed < 1 or len(self._waiting) >= _MOST_WAITING:
            self.unwritten += 1
            return
        self._allowed -= 1
        self._waiting.append(refusal)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Writes what waits, if it can be written."""
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        with contextlib.suppress(sqlite3.Error, OSError):
            await self._put()

    async def _write(self) -> None:
        wait = _GATHER
        while self._waiting:
            await asyncio.sleep(wait)
            try:
                await self._put()
                wait = _GATHER
            except (sqlite3.Error, OSError):
                wait = _RETRY
        self._writing = None

    async def _put(self) -> None:
        rows, kept = list(self._waiting), self.bounds.refusals_kept
        if rows:
            await self._turn(lambda connection: put(connection, rows, kept))
            del self._waiting[: len(rows)]


def put(connection: sqlite3.Connection, refusals: list[Refusal], kept: int) -> None:
    """One transaction: these rows go in, and the oldest out beyond so many. Putting one in again changes nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(
            _INSERT, [tuple(getattr(refusal, field) for field in Refusal.__struct_fields__) for refusal in refusals]
        )
        connection.execute(_TRIM, (kept,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def find(connection: sqlite3.Connection, request_id: str) -> Refusal | None:
    """The refusal of a request, None where none is kept."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM refusals WHERE request_id = ?", (request_id,)).fetchone()
    return None if row is None else Refusal(**dict(zip(Refusal.__struct_fields__, row, strict=True)))
