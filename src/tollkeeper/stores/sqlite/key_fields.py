"""A key's fields between what an operator gives, what a key holds, and the columns of the table `keys`."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tollkeeper.core import budget, rate
from tollkeeper.core.budget import Budget
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.core.rate import RateLimit

COLUMNS = "id, name, shown, digest, created_at, owner, team, models, expires_at, revoked_at, budgets, limits"
_MOST_MODELS = 1000
_MOST_RULES = 32
"""Budgets, and limits, of one key: each is looked at in every call."""
_LAST = 253_402_300_799_999
"""The end of the year 9999."""
_LISTS: dict[str, Any] = {
    "models": tuple[str, ...],
    "budgets": tuple[Budget, ...],
    "limits": tuple[RateLimit, ...],
}


def checked(key_id: str, given: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """What an operator gave, as a key holds it: budgets and limits come as texts. Raises CallerError, naming the field."""
    for field in ("name", "owner", "team"):
        if given.get(field) is not None:
            _check_word(field, given[field])
    models: Sequence[str] | None = given.get("models")
    if models is not None:
        if len(models) > _MOST_MODELS:
            raise _invalid("models", f"'models' must be {_MOST_MODELS} names at most.")
        for model in models:
            _check_word("models", model)
            if "*" in model[:-1]:
                raise _invalid("models", f"'{model}': only the end of a name may be left open, as in 'gpt-*'.")
    expires_at = given.get("expires_at")
    if expires_at is not None and not now_ms < expires_at <= _LAST:
        raise _invalid("expires_at", "'expires_at' must lie in the future, in Unix milliseconds.")
    fields = dict(given)
    if models is not None:
        fields["models"] = tuple(models)
    for field in ("budgets", "limits"):
        if field in given:
            fields[field] = _rules(field, given[field], key_id)
    return fields


def column(field: str, value: Any) -> Any:
    """A field's value as its column holds it: lists as JSON, none as NULL."""
    if field not in _LISTS or value is None or (field != "models" and not value):
        return value if field not in _LISTS else None
    return msgspec.json.encode(value).decode()


def key_of(row: tuple[object, ...]) -> Key:
    """A key from its row, column by column."""
    values = dict(zip(COLUMNS.split(", "), row, strict=True))
    for field, kind in _LISTS.items():
        held = values[field]
        if isinstance(held, str):
            values[field] = msgspec.json.decode(held, type=kind)
        elif field != "models":
            values[field] = ()
    return Key(**values)  # type: ignore[arg-type]


def _rules(field: str, texts: Sequence[str], key_id: str) -> tuple[Any, ...]:
    if len(texts) > _MOST_RULES:
        raise _invalid(field, f"'{field}' must be {_MOST_RULES} at most.")
    try:
        if field == "budgets":
            return budget.parse_all(texts, "key", key_id)
        return rate.parse_all(texts, "key", key_id)
    except ValueError as error:
        raise _invalid(field, f"{error}.") from None


def _check_word(field: str, value: str) -> None:
    if not value.strip() or not value.isprintable() or len(value) > 200:
        each = " each" if field == "models" else ""
        raise _invalid(field, f"'{field}' must be 1 to 200 printable characters{each}.")


def _invalid(field: str, message: str) -> CallerError:
    return CallerError(message, code="invalid_value", param=field)
