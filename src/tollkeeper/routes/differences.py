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
        found += (f"    {line}" for line in _changed(_text(change.before), _text(change.after)))
    return found


def _changed(before: list[str], after: list[str]) -> list[str]:
    if not before or not after:  # whole: there is nothing to compare
        return [f"-{line}" for line in before] + [f"+{line}" for line in after]
    compared = difflib.unified_diff(before, after, lineterm="", n=_CONTEXT)
    return [line for line in compared if not line.startswith(("---", "+++", "@@"))]


def _text(value: Mapping[str, Any] | None) -> list[str]:
    if value is None:
        return []
    return msgspec.json.format(msgspec.json.encode(without_times(dict(value)), order="sorted")).decode().split("\n")
