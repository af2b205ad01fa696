"""What the gate says of itself in its log: troubles that begin and end, budgets that are spent, targets that fall ill."""

from collections.abc import Callable, Mapping

from tollkeeper.core.budget import Budget, amount_shown


class Announcements:
    """One method for each thing that somebody notices; `say` writes a line: its name, and fields."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say

    def budget_spent(self, budget: Budget, spent: int) -> None:
        """A soft budget is spent: nano-USD or tokens, as its unit is."""
        amounts = {"amount": amount_shown(budget.amount, budget.unit), "spent": amount_shown(spent, budget.unit)}
        self._say("budget_warning", budget=budget.id, **amounts)

    def upkeep(self, trouble: str) -> None:
        """Why sums, old events or the store's log could not be seen to; "" when they were again."""
        self._say("upkeep_trouble" if trouble else "upkeep_recovered", reason=trouble or "done again")

    def ledger(self, trouble: str) -> None:
        """Why the ledger cannot be written; "" when it was again."""
        self._say("ledger_trouble" if trouble else "ledger_recovered", reason=trouble or "written again")

    def blocked(self, milliseconds: int, where: str) -> None:
        """One thing held the event loop up; `where` is "" where nobody knows."""
        self._say("loop_blocked", ms=milliseconds, at=where or "?")

    def target(self, what: str, name: str, details: Mapping[str, object]) -> None:
        """A target or an account was ejected, is back, and so on: `flow.health.Change`."""
        self._say(what, name=name, **details)
