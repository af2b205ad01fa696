"""What the store needs beside its calls, in small steps: sums of fresh events, an end to old detail, a short log.

What writes does so in turns of the ledger's, so that no call meets a lock.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tollkeeper.core.errors import GateError
from tollkeeper.core.ids import Clock
from tollkeeper.stores.sqlite import database as store
from tollkeeper.stores.sqlite.clock import SettledClock
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.retention import delete_old
from tollkeeper.stores.sqlite.rollups import add_up, roll_up

_EVERY = 2.0
"""Seconds between two rounds."""
_STEP = 250
"""Events in one turn, which holds up commits for some milliseconds."""
_DELETE_EVERY = 60.0
_CHECKPOINT_TRANSACTIONS, _CHECKPOINT_ROWS = 2_000, 20_000
"""After so many, what is in the log goes into the store: some ten megabytes of pages."""

Trouble = Callable[[str], None]


class Upkeep:
    """Runs from `start` to `close`. `keep_days` may be changed meanwhile."""

    def __init__(
        self, home: Path, ledger: SqliteLedger, keep_days: int, now: Clock, monotonic: Clock, on_trouble: Trouble
    ) -> None:
        self.keep_days = keep_days
        self._home = home
        self._ledger = ledger
        self._settled = SettledClock(now, monotonic)
        self._monotonic = monotonic
        self._on_trouble = on_trouble
        self._troubled = ""
        self._summed_at = monotonic()
        self._delete_at = monotonic()
        self._reader: sqlite3.Connection | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def lag(self) -> float:
        """Seconds since all events were in the sums."""
        return self._monotonic() - self._summed_at

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Ends between two steps; what is left is done after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await self._ledger.check_files()
            if not self._ledger.healthy:
                continue  # the ledger says so itself
            try:
                await self.round()
                self._say("")
            except (sqlite3.Error, GateError, OSError) as error:
                self._say(str(error))

    async def round(self) -> None:
        """All that is to be done now. Raises sqlite3.Error, GateError, OSError."""
        await self._checkpoint()
        tally = self._ledger.tally
        await self._until_nothing(lambda writer: add_up(writer, tally))
        await self._until_nothing(lambda writer: roll_up(writer, _STEP, tally.begins))
        self._summed_at = self._monotonic()
        if self._monotonic() >= self._delete_at:
            now_ms, days = int(self._settled() * 1000), self.keep_days
            await self._until_nothing(lambda writer: delete_old(writer, now_ms, days, _STEP))
            self._delete_at = self._monotonic() + _DELETE_EVERY

    async def _until_nothing(self, step: Callable[[sqlite3.Connection], int]) -> None:
        while await self._ledger.turn(step):
            await self._checkpoint()
            await asyncio.sleep(0.005)

    async def _checkpoint(self) -> None:
        """Most pages are moved while calls go on, the last few in a turn, so that the log can begin again."""
        ledger = self._ledger
        if ledger.transactions < _CHECKPOINT_TRANSACTIONS and ledger.rows < _CHECKPOINT_ROWS:
            return
        ledger.transactions = ledger.rows = 0
        await asyncio.to_thread(self._move_pages)
        await ledger.turn(begin_log_again)

    def _move_pages(self) -> None:
        if self._reader is None:
            self._reader = store.connect(self._home)
        self._reader.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _say(self, trouble: str) -> None:
        if trouble != self._troubled:
            self._troubled = trouble
            self._on_trouble(trouble)


def begin_log_again(writer: sqlite3.Connection) -> None:
    """Moves what is left and writes a first page to the log's beginning, if nobody reads what is there.

    That first write syncs the log's header, which a commit on the event loop would otherwise wait for.
    """
    _, pages, moved = writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if pages == moved:
        writer.execute(f"PRAGMA user_version = {store.VERSION}")
