"""Secrets by reference: `$env://NAME` in a configuration is read from the environment when it is put to use."""

from collections.abc import Mapping
from typing import Any

import msgspec

_PREFIX = "$env://"


def resolved(value: Any, environment: Mapping[str, str]) -> Any:
    """A copy with every reference replaced: `$env://NAME`, or `$env://NAME/FIELD` of a JSON object in NAME.

    A reference to what is not there stays as it is: it then is no right key, and no secret either.
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
    if text is None or not field:
        return reference if text is None else text
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return reference
    part = found.get(field) if isinstance(found, dict) else None
    return part if isinstance(part, str) else reference
