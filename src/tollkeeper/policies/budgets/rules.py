"""Which budgets hold for a key: everybody's, its team's, its owner's, each key's and its own."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tollkeeper.core.budget import Budget
from tollkeeper.core.keys import Key
from tollkeeper.core.limits import Positive


class BudgetsOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[budgets]: each budget in its text form, "5 USD/month"."""

    all: list[str] = []
    """For all calls together."""
    each_key: list[str] = []
    """For every key by itself; a key's own budget of the same unit, window and zone stands in its place."""
    teams: dict[str, list[str]] = {}
    owners: dict[str, list[str]] = {}
    default_output: Annotated[int, Meta(ge=16)] = 32_768
    """Output tokens that a request is limited to which sets no limit of its own."""
    unbounded_input: Positive = 200_000
    """Input tokens that are held for a request whose bytes do not bound them, where the model's context is not known."""
    adaptive_overshoot: Annotated[float, Meta(ge=0)] = 0.5
    """How far beyond its amount an adaptive budget may be spent at the very worst, in parts of the amount."""


class BudgetRules(Struct, frozen=True, kw_only=True):
    """`BudgetsOptions`, read."""

    all: tuple[Budget, ...] = ()
    each_key: tuple[Budget, ...] = ()
    """Those of no key in particular: `of` is empty."""
    teams: Mapping[str, tuple[Budget, ...]] = {}
    owners: Mapping[str, tuple[Budget, ...]] = {}
    options: BudgetsOptions = BudgetsOptions()


class Line:
    """What bounds one purse: at most one budget that refuses, and one that warns."""

    __slots__ = ("any", "hard", "id", "soft")

    def __init__(self, budget: Budget) -> None:
        self.id = budget.id
        self.any = budget
        self.hard: Budget | None = None
        self.soft: Budget | None = None
        self.put(budget)

    def put(self, budget: Budget) -> None:
        """In place of one of its kind."""
        if budget.soft:
            self.soft = budget
        else:
            self.hard = budget


def lines_of(key: Key, rules: BudgetRules) -> tuple[Line, ...]:
    """Widest first."""
    found: dict[str, Line] = {}
    of_team = rules.teams.get(key.team, ()) if key.team is not None else ()
    of_owner = rules.owners.get(key.owner, ()) if key.owner is not None else ()
    for budget in (*rules.all, *of_team, *of_owner, *_for_key(rules.each_key, key.id), *_for_key(key.budgets, key.id)):
        line = found.get(budget.id)
        if line is None:
            found[budget.id] = Line(budget)
        else:
            line.put(budget)
    return tuple(found.values())


def every_line(rules: BudgetRules, keys: Iterable[Key]) -> list[Line]:
    """All that there are, of keys as given."""
    shared = (*rules.all, *(b for each in (rules.teams, rules.owners) for budgets in each.values() for b in budgets))
    found: dict[str, Line] = {}
    for budget in shared:
        if budget.id in found:
            found[budget.id].put(budget)
        else:
            found[budget.id] = Line(budget)
    for key in keys:
        found |= {line.id: line for line in lines_of(key, rules) if line.any.scope == "key"}
    return list(found.values())


def _for_key(budgets: Iterable[Budget], key_id: str) -> list[Budget]:
    return [b if b.of == key_id else msgspec.structs.replace(b, scope="key", of=key_id) for b in budgets]
