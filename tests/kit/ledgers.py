"""A ledger that is closed properly, and another process's view of its store."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tollkeeper.core.events import Event
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.reports import Reports


class Other:
    """Another process's view of the store."""

    def __init__(self, home: Path) -> None:
        self.reports = Reports(home)
        self.connection = sqlite3.connect(home / "tollkeeper.db", isolation_level=None, timeout=30)

    def counts(self) -> tuple[int, int]:
        """Open holds and events, seen in one moment."""
        [found] = self.connection.execute("SELECT (SELECT count(*) FROM holds), (SELECT count(*) FROM events)")
        return int(found[0]), int(found[1])

    def every_event(self) -> list[Event]:
        """All events, oldest first."""
        return self.reports.events(limit=1_000_000)[::-1]

    def refuse(self, table: str) -> None:
        """From now on nothing can be written to `table`."""
        self.connection.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )

    def allow(self) -> None:
        self.connection.execute("DROP TRIGGER full")

    def close(self) -> None:
        self.reports.close()
        self.connection.close()


@contextlib.asynccontextmanager
async def opened(home: Path, troubles: list[str] | None = None) -> AsyncIterator[SqliteLedger]:
    """A ledger for the time of a `with`; what it complains of goes to `troubles`, "" when it is well again."""
    ledger = SqliteLedger(home, ([] if troubles is None else troubles).append)
    yield ledger
    assert await ledger.close()


async def until(seconds: float, question: Callable[[], bool]) -> bool:
    """Whether the answer becomes yes in time."""
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.01)
    return True
