"""Which account keeps what has this id, and who had it made: remembered with the events, found again after a restart."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tollkeeper.core.errors import GateError
from tollkeeper.core.ids import Clock
from tollkeeper.core.origin import Origin
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.rows import Forgotten, Made

_RECENT = 4096
"""Ids kept in memory: those just made are not on disk yet."""
_AT_ONCE = 500
"""Ids that one query looks for."""
_COLUMNS = "SELECT id, provider, tenant, key_id FROM origins WHERE id IN"


class SqliteOrigins:
    """Implements `core.ports.Origins`."""

    def __init__(self, home: Path, ledger: SqliteLedger, now: Clock) -> None:
        self._ledger = ledger
        self._now = now
        self._recent: dict[str, Origin | None] = {}
        """None: just forgotten."""
        self._reader = database.connect(home)
        try:
            found = self._reader.execute("SELECT EXISTS (SELECT 1 FROM origins)").fetchone()
        except BaseException:
            self._reader.close()
            raise
        self.any = bool(found[0])

    def find(self, ids: Sequence[str]) -> dict[str, Origin]:
        recent = self._recent
        found = {name: origin for name in ids if (origin := recent.get(name)) is not None}
        others = [name for name in ids if name not in recent]
        try:
            for at in range(0, len(others), _AT_ONCE):
                some = others[at : at + _AT_ONCE]
                query = f"{_COLUMNS} ({','.join('?' * len(some))})"
                for name, account, tenant, key_id in self._reader.execute(query, some):
                    found[name] = Origin(account, tenant, key_id)
        except sqlite3.Error as error:
            raise GateError(f"The store cannot be read: {error}.", code="store_unavailable") from error
        return found

    def remember(self, ids: Sequence[str], origin: Origin, *, lasting: bool) -> None:
        made_at = int(self._now() * 1000)
        for name in ids:
            if self._recent.get(name) is not None:
                continue  # the first to have it keeps it, here as on disk
            self._note(name, origin)
            self._ledger.remember(Made(name, origin.account, made_at, origin.tenant, origin.key_id, int(lasting)))

    def forget(self, id: str) -> None:
        self._note(id, None)
        self._ledger.remember(Forgotten(id))

    def _note(self, id: str, origin: Origin | None) -> None:
        self.any = True
        if len(self._recent) >= _RECENT:
            del self._recent[next(iter(self._recent))]
        self._recent[id] = origin

    def close(self) -> None:
        """Closes the store."""
        self._reader.close()
