"""The ledger's connection: commits go to the log without a sync, which is asked for apart."""

import os
import sqlite3
from pathlib import Path

from tollkeeper.core.errors import GateError
from tollkeeper.stores.sqlite import database as store
from tollkeeper.stores.sqlite.syncing import sync_now

REPLACED = "the store's files were removed or replaced while the gate ran; put them back, or start the gate again"


class Writer:
    """A connection with synchronous=NORMAL, and a descriptor of its log for syncs. Raises GateError.

    With NORMAL, SQLite itself syncs the log and then the store when it moves pages from one to the other, and the log's new
    header before it begins the log again, so that order is kept whatever is lost (https://www.sqlite.org/pragma.html,
    synchronous). What it leaves out is the sync after each commit, and that is ours.
    """

    def __init__(self, home: Path) -> None:
        self._paths = (home / store.FILE, home / f"{store.FILE}-wal")
        self._home = home
        self.database = store.connect(home, wait=0)
        try:
            self.database.execute("PRAGMA synchronous = NORMAL")
            self.database.execute("PRAGMA temp_store = MEMORY")
            # Debian's SQLite is built to overwrite with zeros what is deleted, others are not. Holds are not worth it.
            self.database.execute("PRAGMA secure_delete = OFF")
            # No locks are lost when this descriptor is closed: SQLite's are on the store and on -shm.
            self.log = os.open(self._paths[1], os.O_RDWR | os.O_CLOEXEC)
            self._files = self._found()
        except (OSError, sqlite3.Error) as error:
            self.database.close()
            raise GateError(f"{home / store.FILE}-wal: {error}") from error
        _sync_names(home)

    @property
    def log_bytes(self) -> int:
        """0 where it cannot be told."""
        try:
            return os.fstat(self.log).st_size
        except OSError:
            return 0

    def replaced(self) -> bool:
        """Whether the files at the store's paths are no longer those that this connection writes to."""
        return self._found() != self._files

    def _found(self) -> list[tuple[int, int] | None]:
        found: list[tuple[int, int] | None] = []
        for path in self._paths:
            try:
                stat = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((stat.st_dev, stat.st_ino))
        return found

    def sync(self) -> None:
        """Returns when all that was committed is on disk. Raises OSError."""
        sync_now(self.log)

    def roll_back(self) -> None:
        """Ends a transaction that something went wrong in; nothing where none is open."""
        try:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
        except sqlite3.Error:
            return

    def opened_anew(self) -> "Writer":
        """Another one in place of this one, which is closed. Raises GateError and sqlite3.Error; this one then stays open.

        After a failed sync the pages of the log that it was for may be lost though they are still read from the system's
        cache, and no later sync will say so (https://lwn.net/Articles/752063/). So they are not built upon: everything goes
        from the log into the store, which has a sync of its own, and the log begins again.
        """
        self.roll_back()
        if self.replaced():
            raise GateError(REPLACED)
        fresh = Writer(self._home)
        try:
            busy, *_ = fresh.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise GateError("The log cannot be emptied while somebody reads.")
        except BaseException:
            fresh.close()
            raise
        self.close()
        return fresh

    def close(self) -> None:
        os.close(self.log)
        self.database.close()


def _sync_names(home: Path) -> None:
    """The files' names are in the folder, which has a sync of its own. Not every file system has one for folders."""
    folder = os.open(home, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except OSError:
        return
    finally:
        os.close(folder)
