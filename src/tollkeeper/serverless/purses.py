"""Between the budgets' rules and a ledger that gates share: which purses a record falls into, and what a full one says."""

from collections.abc import Callable, Sequence

from tollkeeper.core.budget import FOREVER
from tollkeeper.core.errors import CallerError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.keys import Key
from tollkeeper.core.windows import bounds
from tollkeeper.policies.budgets import BudgetRules, refusals
from tollkeeper.policies.budgets.book import Purse
from tollkeeper.policies.budgets.rules import lines_of
from tollkeeper.stores.dynamodb.purses import PurseOf


class Purses:
    """By the rules that are in force when it is asked."""

    def __init__(self, rules: Callable[[], BudgetRules], key_of: Callable[[str], Key | None]) -> None:
        self._rules = rules
        self._key_of = key_of

    def of(self, record: Hold | Event) -> Sequence[PurseOf]:
        """Widest first. A key that is gone has no budgets of its own."""
        key = self._key_of(record.key_id)
        if key is None:
            return ()
        found: list[PurseOf] = []
        for line in lines_of(key, self._rules()):
            budget = line.hard or line.any
            start, end = bounds(budget.window, budget.zone, record.started_at)
            found.append(PurseOf(budget, start, FOREVER if end is None else end))
        return found


def refused(purse: PurseOf, used: int, spent: int, need: int) -> CallerError:
    """What a caller is told for whom there is no room: as by a gate that has its budgets for itself."""
    shown = Purse(purse.budget.id, purse.budget, purse.start, purse.end)
    shown.spent, shown.held = spent, used - spent
    if need > purse.budget.amount - spent:
        return refusals.exceeded(purse.budget, shown, need)
    return refusals.held_up(purse.budget, shown, need)
