"""Opens the store's file the way that the ledger relies on, and makes its tables."""

import os
import sqlite3
import time
from importlib import resources
from pathlib import Path

from tollkeeper.core.errors import GateError

FILE = "tollkeeper.db"
_SCHEMA = tuple(f"schema_{number}.sql" for number in range(1, 8))
"""What makes each version out of the one before."""
VERSION = len(_SCHEMA)
_PATIENCE = 5.0


def connect(home: Path, *, create: bool = True, wait: float = 5.0) -> sqlite3.Connection:
    """A connection in autocommit mode to HOME/tollkeeper.db: WAL, synchronous=FULL (read back), foreign writers waited for.

    Any thread may use it, one at a time. Raises GateError where the file cannot be opened, is not ours or is newer than us.
    """
    path = home / FILE
    if not create and not path.exists():
        raise GateError(f"There is no store at {path}. Start the gate once, or name its home with --home.")
    try:
        _create(path)
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}.") from error
    try:
        database = sqlite3.connect(path, isolation_level=None, timeout=wait, check_same_thread=False)
    except sqlite3.Error as error:
        raise GateError(f"{path}: {error}") from error
    try:
        mode = _patiently(database, "PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        level = database.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, level) != ("wal", 2):
            raise GateError(f"{path}: the file system does not allow WAL with synchronous=FULL (got {mode}, {level}).")
        database.execute("PRAGMA journal_size_limit = 67108864")
        # Whoever commits would do it there and then; a gate has upkeep.py, others do it when they close.
        database.execute("PRAGMA wal_autocheckpoint = 0")
        database.execute("PRAGMA checkpoint_fullfsync = ON")  # macOS only
        _migrate(database)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.Error):
            raise GateError(f"{path}: {error}") from error
        raise
    return database


def _patiently(database: sqlite3.Connection, pragma: str) -> object:
    """Switching to WAL does not wait for others who do the same, whatever the connection's timeout: so we do."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return database.execute(pragma).fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _create(path: Path) -> None:
    """For its owner only; SQLite gives its other files the mode of this one.

    A file that is there is not opened: closing it would end the locks of every connection that this process has to it
    (https://www.sqlite.org/howtocorrupt.html, 2.2), and the next process to leave would take the log of ours with it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return


def _migrate(database: sqlite3.Connection) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return
    if version > VERSION:
        raise GateError(
            f"The store is of version {version}, newer than this Tollkeeper ({VERSION}). Upgrade Tollkeeper."
        )
    folder = resources.files("tollkeeper.stores.sqlite")
    steps = "".join(folder.joinpath(name).read_text("utf-8") for name in _SCHEMA[version:])
    try:
        database.executescript(f"BEGIN IMMEDIATE;\n{steps}PRAGMA user_version = {VERSION};\nCOMMIT;")
    except sqlite3.OperationalError:
        if database.in_transaction:
            database.execute("ROLLBACK")
        # Another process made the tables between our look and our transaction.
        if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            raise
