"""What a caller is told whom a budget turns away: which one, how large it is, what is left of it, when it renews."""

from datetime import UTC, datetime

from tollkeeper.core.budget import FOREVER, Budget, amount_shown, shown
from tollkeeper.core.call import Call
from tollkeeper.core.errors import CallerError
from tollkeeper.policies.budgets.book import Purse

_NEVER_AGAIN = ((b"x-should-retry", b"false"),)
_SOON = ((b"x-should-retry", b"true"), (b"retry-after", b"1"), (b"retry-after-ms", b"1000"))
"""Room comes with the end of a call that is under way: nobody knows when that is."""


def exceeded(budget: Budget, purse: Purse, need: int) -> CallerError:
    """For a call that may cost `need`, more than is left."""
    return CallerError(
        f"{_standing(budget, purse)} and this request may cost {amount_shown(need, budget.unit)}. {_renewal(purse)}",
        status=429,
        type="insufficient_quota",
        code="budget_exceeded",
        headers=_NEVER_AGAIN,
    )


def held_up(budget: Budget, purse: Purse, need: int) -> CallerError:
    """For a call that would fit if it were not for those under way."""
    return CallerError(
        f"{_standing(budget, purse)} and this request may cost {amount_shown(need, budget.unit)}. "
        "Calls under way hold what it needs: try again when they have ended.",
        status=429,
        type="insufficient_quota",
        code="budget_held",
        retryable=True,
        headers=_SOON,
    )


def stopped(budget: Budget, purse: Purse) -> CallerError:
    """For a stream that has used up what was held for it, where there is no more."""
    return CallerError(
        f"{_standing(budget, purse)} so this answer was stopped. {_renewal(purse)}",
        status=429,
        type="insufficient_quota",
        code="budget_exceeded",
        headers=_NEVER_AGAIN,
    )


def price_unknown(call: Call, target: str) -> CallerError:
    """For what nobody can hold money for."""
    named = call.model is not None
    what = f"'{target}'" if named else f"/v1/{call.path}"
    why = f"the price of {what} is not known here. Its operator can set it: [models.NAME.price] in the configuration."
    if "models" in call.members:  # OpenRouter's fallbacks: https://openrouter.ai/docs/features/model-routing
        why = "'models' could name others, of any price."
    return CallerError(
        f"This key has a budget in money, and {why}",
        code="price_unknown",
        param="models" if "models" in call.members else "model" if named else None,
        headers=_NEVER_AGAIN,
    )


def warning(budget: Budget, purse: Purse) -> bytes:
    """For a header: letters that are not ASCII, in the names of teams, become question marks."""
    words = f"{whose(budget)}: {shown(budget)}, {amount_shown(purse.spent, budget.unit)} spent"
    return words.encode("ascii", "replace")


def whose(budget: Budget) -> str:
    if budget.scope == "key":
        return "this key"
    return "all keys together" if budget.of is None else f"the {budget.scope} '{budget.of}'"


def renews(purse: Purse) -> str | None:
    """ISO 8601, or None where it never does."""
    if purse.end == FOREVER:
        return None
    return datetime.fromtimestamp(purse.end / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _standing(budget: Budget, purse: Purse) -> str:
    left = amount_shown(max(0, budget.amount - purse.spent - purse.held), budget.unit)
    spent, held = amount_shown(purse.spent, budget.unit), amount_shown(purse.held, budget.unit)
    return f"The budget of {whose(budget)} is {shown(budget)}: {left} is left ({spent} spent, {held} held),"


def _renewal(purse: Purse) -> str:
    at = renews(purse)
    return "It does not renew." if at is None else f"It renews at {at}."
