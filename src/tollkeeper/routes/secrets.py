"""Secrets by reference: `$env://NAME` in a configuration is read from the environment when it is put to use."""

from collections.abc import Mapping
from typing import Any

import msgspec

_PREFIX = "$env://"


class NoSecret(LookupError):
    """What a reference names is not there."""


def resolved(value: Any, environment: Mapping[str, str]) -> Any:
    """A copy with every reference replaced: `$env://NAME`, or `$env://NAME/FIELD` of a JSON object in NAME.

    Raises NoSecret where that is not there: were the reference itself taken for the secret, everybody could write it.
    """
    if isinstance(value, str):
        return _found(value, environment) if value[:7].lower() == _PREFIX else value
    if isinstance(value, Mapping):
        return {name: resolved(each, environment) for name, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, environment) for each in value]
    return value


def _found(reference: str, environment: Mapping[str, str]) -> str:
    name, _, field = reference[len(_PREFIX) :].partition("/")
    text = environment.get(name)
    if text is not None and not field:
        return text
    try:
        found = msgspec.json.decode(text or "")
    except msgspec.DecodeError:
        found = None
    part = found.get(field) if isinstance(found, dict) else None
    if not isinstance(part, str):
        raise NoSecret(reference)
    return part
