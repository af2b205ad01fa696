"""What a ledger's past is made of, as far as budgets go: see replay.py."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from tollkeeper.core.budget import Scope, Unit


class Noted(Struct, frozen=True):
    """What one budget's rule noted of an attempt when it admitted it. Amounts are nano-USD or tokens."""

    id: str
    unit: str
    amount: int
    spent: int
    held: int
    ceiling: int
    adaptive: int | None = None
    """What was held, where that was less than the ceiling."""

    @property
    def share(self) -> int:
        """What was held for the attempt."""
        return self.ceiling if self.adaptive is None else self.adaptive


class Past(Struct, frozen=True, kw_only=True):
    """One event, as far as budgets go."""

    request_id: str
    attempt: int
    start: int
    """Unix milliseconds."""
    end: float
    key_id: str
    owner: str | None
    team: str | None
    nano: int
    tokens: int
    crashed: bool
    """Found open after a crash: nobody knows when it ended."""
    late: bool = False
    """Nobody knows when it was admitted: a budget had to be read from the ledger first, or the clock was set."""
    noted: tuple[Noted, ...]


class Spending(Struct, frozen=True, kw_only=True):
    """What is found of one window of one budget."""

    id: str
    scope: Scope
    of: str | None
    unit: Unit
    start: int
    end: int
    """Unix milliseconds; FOREVER where the window has no end."""
    amount: int
    """As noted last."""
    admitted: int
    """Attempts that it was asked for."""
    spent: int
    peak: int
    """The most that was surely spent and held at one moment of admission."""
    peak_at: int
    overdrafts: int
    overdrawn: int
    """By how much attempts cost more than their ceilings, in all."""


def noted(notes: Iterable[Sequence[Any]]) -> tuple[Noted, ...]:
    """The budgets' notes among an event's; of those that an earlier attempt of the call left, only the last counts."""
    found = {note[1]: Noted(*note[1:]) for note in notes if note[0] == "budget"}
    return tuple(found.values())


def late(notes: Iterable[Sequence[Any]]) -> bool:
    """Whether an attempt, or an earlier one of its call, waited for its budgets to be read."""
    return any(note[0] == "budgets" for note in notes)
