"""Keys on DynamoDB: made, changed and revoked by anybody with rights to the table, known in memory to each gate."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tollkeeper.core.errors import CallerError, ConfigError
from tollkeeper.core.ids import Clock, Randomness
from tollkeeper.core.keyed_hash import KeyedHash
from tollkeeper.core.keys import SHOWN, Key
from tollkeeper.stores import issuing
from tollkeeper.stores.dynamodb.table import BlockingTable, Cancelled, place_of
from tollkeeper.stores.sqlite import key_fields

KEYS = "keys"
_CHANGES = "changes"


class DynamoKeyStore:
    """As `stores.sqlite.keys.KeyStore`. What is stored of a secret is made with `pepper`, which is not in the table."""

    def __init__(self, table: BlockingTable, pepper: str, now: Clock, randomness: Randomness) -> None:
        self._table = table
        self._peppered = KeyedHash(pepper.encode())
        self._now = now
        self._randomness = randomness

    def close(self) -> None:
        """Nothing is open."""

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
        self._put(key, None)
        return key, secret

    def change(self, reference: str, changes: Mapping[str, Any]) -> Key:
        """Gives a key other fields. Raises CallerError (404; 409 if it is revoked; 400 for what a key cannot have)."""
        key, seen = self._living(reference)
        fields = key_fields.checked(key.id, changes, int(self._now() * 1000))
        changed = msgspec.structs.replace(key, **fields)
        self._put(changed, seen)
        return changed

    def list(self) -> list[Key]:
        """All keys, oldest first, revoked ones too."""
        return [key for key, _ in self._all()]

    def get(self, reference: str) -> Key:
        """The key of that id or, where only one has it, that name. Raises CallerError (404, 409)."""
        return self._find(reference)[0]

    def revoke(self, reference: str) -> Key:
        """Ends a key for good. Raises CallerError (404)."""
        key, seen = self._find(reference)
        if key.revoked_at is None:
            key = msgspec.structs.replace(key, revoked_at=int(self._now() * 1000))
            self._put(key, seen)
        return key

    def rotate(self, reference: str) -> tuple[Key, str]:
        """A new secret for the same key; the old one ends at once. Raises CallerError (404, or 409 if it is revoked)."""
        key, seen = self._living(reference)
        secret = issuing.new_secret(self._randomness)
        key = msgspec.structs.replace(key, digest=self.digest(secret.encode()), shown=secret[:SHOWN])
        self._put(key, seen)
        return key, secret

    def digest(self, secret: bytes) -> bytes:
        """What is stored of a secret."""
        return self._peppered(secret)

    def changes(self) -> int:
        """A number that differs once a key was made or changed."""
        item = self._table.get(_CHANGES, KEYS)
        return 0 if item is None else int(item["n"])

    def _all(self) -> Sequence[tuple[Key, int]]:
        found = [(msgspec.json.decode(str(item["d"]), type=Key), int(item["n"])) for item in self._table.query(KEYS)]
        return sorted(found, key=lambda each: (each[0].created_at, each[0].id))

    def _find(self, reference: str) -> tuple[Key, int]:
        found = {each[0].id: each for each in self._all() if reference in (each[0].id, each[0].name)}
        return found[issuing.meant([key for key, _ in found.values()], reference).id]

    def _living(self, reference: str) -> tuple[Key, int]:
        key, seen = self._find(reference)
        return issuing.living(key), seen

    def _put(self, key: Key, seen: int | None) -> None:
        document = msgspec.json.encode(key).decode()
        item: dict[str, str | int] = {"pk": KEYS, "sk": key.id, "d": document, "n": 1 if seen is None else seen + 1}
        try:
            self._table.transact([self._table.put_part(item, seen=seen), self._table.count_part(_CHANGES, KEYS)])
        except Cancelled:
            raise CallerError(
                f"The key '{key.name}' was changed by somebody else just now: look again.",
                status=409,
                code="key_changed",
            ) from None


def key_store(environment: Mapping[str, str]) -> DynamoKeyStore:
    """That of the table which the environment names. Raises ConfigError."""
    pepper = environment.get("TOLLKEEPER_PEPPER", "")
    if not pepper:
        raise ConfigError(["TOLLKEEPER_PEPPER is not set: what is stored of keys is made with it."])
    return DynamoKeyStore(BlockingTable(place_of(environment), time.time), pepper, time.time, os.urandom)
