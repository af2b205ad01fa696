"""What rules note of a call, and what the numbers in a note are called; pure.

A note is a list that begins with the rule's name; what follows are numbers and names, never content (docs/explain.md).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from tollkeeper.core import receipt
from tollkeeper.core.money import usd_from_nano

_FIELDS = {
    "limit": ("id", "amount", "remaining_before", "taken"),
    "budget": ("id", "unit", "amount", "spent", "held", "ceiling"),
    "overdraft": ("id", "over"),
    "clamped": ("field", "value"),
    "dropped": ("field",),
    "cache": ("result", "saved"),
    "idempotency": ("result", "key"),
    "likeness": ("instance", "cosine", "threshold"),
}
_ADAPTIVE = "adaptive_held"
"""The seventh of a budget's, where it holds less than the ceiling."""
_MONEY = ("amount", "spent", "held", "ceiling", _ADAPTIVE)
_TARGETS = ("target", "skipped")


def rules(notes: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """The notes of rules with their numbers named, in order; money in USD. A rule that is not known here, as it is."""
    return [_rule(note) for note in notes if note[0] not in _TARGETS and note[0] != receipt.NOTE]


def targets(notes: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Whom the call went to or passed over, in order, and why."""
    return [
        {"target": note[1], "chosen": note[0] == "target", "reason": note[2]} for note in notes if note[0] in _TARGETS
    ]


def _rule(note: Sequence[Any]) -> dict[str, Any]:
    name, *values = note
    fields: tuple[str, ...] = _FIELDS.get(name, ())
    if name == "budget" and len(values) > len(fields):
        fields = (*fields, _ADAPTIVE)
    if not fields or len(values) != len(fields):
        return {"rule": name, "values": values}
    told = {"rule": name, **dict(zip(fields, values, strict=True))}
    if told.get("unit") == "usd":
        told |= {field: usd_from_nano(told[field]) for field in _MONEY if field in told}
    if name == "overdraft" and told["id"].split(":")[-3] == "usd":
        told["over"] = usd_from_nano(told["over"])
    if name == "cache":
        told["saved_usd"] = usd_from_nano(told.pop("saved"))
    return told
