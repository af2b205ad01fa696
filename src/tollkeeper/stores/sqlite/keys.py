"""Keys on SQLite: made, listed, revoked and rotated by any process; known in memory to the one that serves.

A secret is `tk-` and 256 random bits. Only HMAC-SHA256(pepper, secret) is stored; the pepper is a file beside the store,
so that a copy of the store alone lets nobody in and lets nobody test guesses.
"""

import hmac
import os
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from tollkeeper.core.errors import GateError
from tollkeeper.core.ids import Clock, Randomness
from tollkeeper.core.keyed_hash import KeyedHash
from tollkeeper.core.keys import SHOWN, Key
from tollkeeper.stores import issuing
from tollkeeper.stores.sqlite import database, key_fields
from tollkeeper.stores.sqlite.key_fields import COLUMNS, key_of
from tollkeeper.stores.sqlite.sole import make_home

_NOBODY = bytes(32)


class KeyStore:
    """Reads and writes the table `keys`. One connection; use it from one thread at a time."""

    def __init__(self, home: Path, now: Clock, randomness: Randomness, *, create: bool = True) -> None:
        if create:
            make_home(home)
        self._database = database.connect(home, create=create)
        self._peppered = KeyedHash(secret_file(home / "pepper", lambda: randomness(32).hex()).encode())
        self._now = now
        self._randomness = randomness

    def close(self) -> None:
        self._database.close()

    def create(
        self,
        name: str,
        *,
        owner: str | None = None,
        team: str | None = None,
        models: Sequence[str] | None = None,
        expires_at: int | None = None,
        budgets: Sequence[str] = (),
        limits: Sequence[str] = (),
    ) -> tuple[Key, str]:
        """A new key and its secret, which is shown this once. Raises CallerError for what a key cannot have."""
        given = {"name": name, "owner": owner, "team": team, "models": models, "expires_at": expires_at}
        given |= {"budgets": budgets, "limits": limits}
        key, secret = issuing.new_key(given, self.digest, int(self._now() * 1000), self._randomness)
        columns = COLUMNS.split(", ")
        self._database.execute(
            f"INSERT INTO keys ({COLUMNS}) VALUES ({', '.join('?' * len(columns))})",
            [key_fields.column(field, getattr(key, field)) for field in columns],
        )
        return key, secret

    def change(self, reference: str, changes: Mapping[str, Any]) -> Key:
        """Gives a key other fields: name, owner, team, models, expires_at; budgets and limits as texts, each list whole.

        Raises CallerError (404; 409 if it is revoked; 400 for what a key cannot have).
        """
        key = issuing.living(self.get(reference))
        fields = key_fields.checked(key.id, changes, int(self._now() * 1000))
        if fields:
            self._database.execute(
                f"UPDATE keys SET {', '.join(f'{field} = ?' for field in fields)} WHERE id = ?",
                [*(key_fields.column(field, value) for field, value in fields.items()), key.id],
            )
        return self.get(key.id)

    def list(self) -> list[Key]:
        """All keys, oldest first, revoked ones too."""
        return [key_of(row) for row in self._database.execute(f"SELECT {COLUMNS} FROM keys ORDER BY rowid")]

    def get(self, reference: str) -> Key:
        """The key of that id or, where only one has it, that name. Raises CallerError (404) where there is none."""
        rows = self._database.execute(
            f"SELECT {COLUMNS} FROM keys WHERE id = ? OR name = ? ORDER BY rowid", (reference, reference)
        )
        return issuing.meant([key_of(row) for row in rows], reference)

    def revoke(self, reference: str) -> Key:
        """Ends a key for good. Raises CallerError (404)."""
        key = self.get(reference)
        self._database.execute(
            "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (int(self._now() * 1000), key.id)
        )
        return self.get(key.id)

    def rotate(self, reference: str) -> tuple[Key, str]:
        """A new secret for the same key; the old one ends at once. Raises CallerError (404, or 409 if it is revoked)."""
        key = issuing.living(self.get(reference))
        secret = issuing.new_secret(self._randomness)
        self._database.execute(
            "UPDATE keys SET digest = ?, shown = ? WHERE id = ?", (self.digest(secret.encode()), secret[:SHOWN], key.id)
        )
        return self.get(key.id), secret

    def digest(self, secret: bytes) -> bytes:
        """What is stored of a secret."""
        return self._peppered(secret)

    def changes(self) -> int:
        """A number that differs once another connection has changed the store."""
        return int(self._database.execute("PRAGMA data_version").fetchone()[0])


class Kept(Protocol):
    """Where a ring has its keys from: a `KeyStore`, or one like it elsewhere."""

    def list(self) -> Sequence[Key]: ...

    def digest(self, secret: bytes) -> bytes: ...

    def changes(self) -> int: ...


class KeyRing:
    """The keys in memory, for the gate. Implements `core.ports.Keys`."""

    def __init__(self, store: Kept, now: Clock) -> None:
        self._store = store
        self._now = now
        self._seen: int | None = None
        self._by_digest: dict[bytes, Key] = {}
        self._by_id: dict[str, Key] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads all keys again."""
        keys = self._store.list()
        self._by_digest = {key.digest: key for key in keys}
        self._by_id = {key.id: key for key in keys}

    def poll(self) -> None:
        """Reads all keys again if another process may have changed them. Keeps the old ones if that fails."""
        with suppress(sqlite3.Error, GateError):
            changes = self._store.changes()
            if changes != self._seen:
                self.refresh()
                self._seen = changes

    def find(self, secret: bytes) -> Key | None:
        digest = self._store.digest(secret)
        key = self._by_digest.get(digest)
        right = hmac.compare_digest(digest, key.digest if key is not None else _NOBODY)
        return key if right and key is not None and key.usable(int(self._now() * 1000)) else None

    def of_id(self, id: str) -> Key | None:
        """The usable key of that id."""
        key = self._by_id.get(id)
        return key if key is not None and key.usable(int(self._now() * 1000)) else None

    def of(self, key_id: str) -> Key | None:
        """The key of that id, usable or not."""
        return self._by_id.get(key_id)

    def current(self, key: Key) -> Key | None:
        """The key as it is now; None where it can no longer be used, or has another secret."""
        now = self._by_digest.get(key.digest)
        return now if now is not None and now.usable(int(self._now() * 1000)) else None


def secret_file(path: Path, make: Callable[[], str]) -> str:
    """The secret in `path`; made by `make` and written with mode 600 where there is none. Two makers agree on one.

    Raises GateError where it cannot be read or is empty: nothing may be guarded by an empty secret.
    """
    try:
        if not path.exists():
            _make_secret(path, make)
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GateError(f"{path}: {error}") from None
    if not secret:
        raise GateError(f"{path} is empty. Restore it, or delete it to have a new one made.")
    return secret


def _make_secret(path: Path, make: Callable[[], str]) -> None:
    descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(make() + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(fresh, path)
    os.unlink(fresh)
