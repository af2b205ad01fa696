"""What a change does, line by line, for people: + what comes, - what goes."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tollkeeper.core.revisions import Change
from tollkeeper.routes.resource_schemas import without_times

_CONTEXT = 2


def lines(changes: Iterable[Change]) -> list[str]:
    """Every change under its name: `+ routes/1` (new), `- routes/1` (deleted), `~ routes/1` (changed)."""
    found = []
    for change in changes:
        sign = "+" if change.before is None else "-" if change.after is None else "~"
        found.append(f"{sign} {change.kind}/{change.id}")
        before, after = _text(change.before), _text(change.after)
        for line in difflib.unified_diff(before, after, lineterm="", n=_CONTEXT):
            if not line.startswith(("---", "+++", "@@")):
                found.append(f"    {line}")
    return found


def _text(value: Mapping[str, Any] | None) -> list[str]:
    if value is None:
        return []
    return msgspec.json.format(msgspec.json.encode(without_times(dict(value)), order="sorted")).decode().splitlines()
