"""What every store of keys does alike: new keys and secrets, and what is said of a key that cannot be had."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import Randomness
from tollkeeper.core.keys import PREFIX, SHOWN, Key
from tollkeeper.stores.sqlite import key_fields


def new_key(
    given: Mapping[str, Any], digest: Callable[[bytes], bytes], now_ms: int, randomness: Randomness
) -> tuple[Key, str]:
    """A key with the fields that an operator gave, and its secret. Raises CallerError for what a key cannot have."""
    key_id, secret = "key_" + randomness(8).hex(), new_secret(randomness)
    fields = key_fields.checked(key_id, given, now_ms)
    return Key(id=key_id, shown=secret[:SHOWN], digest=digest(secret.encode()), created_at=now_ms, **fields), secret


def new_secret(randomness: Randomness) -> str:
    """`tk-` and 256 random bits."""
    return PREFIX + base64.urlsafe_b64encode(randomness(32)).rstrip(b"=").decode()


def living(key: Key) -> Key:
    """The key. Raises CallerError (409) where it is revoked: such a one stays as it is."""
    if key.revoked_at is not None:
        raise CallerError(f"The key '{key.name}' is revoked.", status=409, code="key_revoked")
    return key


def meant(found: Sequence[Key], reference: str) -> Key:
    """Of keys that have `reference` as id or name: the one of that id, else the only one. Raises CallerError (404, 409)."""
    for key in found:
        if key.id == reference:
            return key
    if not found:
        raise CallerError(f"There is no key '{reference[:64]}'.", status=404, code="key_not_found")
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise CallerError(
            f"{len(found)} keys are named '{reference[:64]}'; say which by its id: {ids}.",
            status=409,
            code="key_ambiguous",
        )
    return found[0]
