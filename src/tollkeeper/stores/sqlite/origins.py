"""Which account made what has this id: remembered with the events, found again after a restart."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tollkeeper.core.errors import GateError
from tollkeeper.core.ids import Clock
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.rows import Made

_RECENT = 4096
"""Ids kept in memory: those just made are not on disk yet."""


class SqliteOrigins:
    """Implements `core.ports.Origins`. The store is opened when it is first asked."""

    def __init__(self, home: Path, ledger: SqliteLedger, now: Clock) -> None:
        self._home = home
        self._ledger = ledger
        self._now = now
        self._recent: dict[str, str] = {}
        self._reader: sqlite3.Connection | None = None

    def find(self, id: str) -> str | None:
        known = self._recent.get(id)
        if known is not None:
            return known
        try:
            if self._reader is None:
                self._reader = database.connect(self._home)
            row = self._reader.execute("SELECT provider FROM origins WHERE id = ?", (id,)).fetchone()
        except sqlite3.Error as error:
            raise GateError(f"The store cannot be read: {error}.", code="store_unavailable") from error
        return None if row is None else str(row[0])

    def remember(self, ids: Sequence[str], provider: str) -> None:
        made_at = int(self._now() * 1000)
        for name in ids:
            if self._recent.get(name) == provider:
                continue
            if len(self._recent) >= _RECENT:
                del self._recent[next(iter(self._recent))]
            self._recent[name] = provider
            self._ledger.remember(Made(name, provider, made_at))

    def close(self) -> None:
        """Closes the store if it was opened."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
