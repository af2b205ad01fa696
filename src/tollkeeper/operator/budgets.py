"""/api/budgets: every budget, what is spent of it, held, left, and when it renews."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tollkeeper.core.budget import Budget, Unit, shown
from tollkeeper.core.money import usd_from_nano

if TYPE_CHECKING:  # commands of the terminal use what is here without a server
    from starlette.requests import Request

    from tollkeeper.app import App


async def standings(request: "Request", app: "App") -> object:
    """As the gate itself reckons at this moment, keys that may still call included."""
    now_ms = int(time.time() * 1000)
    keys = [key for key in app.key_store.list() if key.usable(now_ms)]
    names = {key.id: key.name for key in keys}
    return {
        "data": [
            standing(budget, names.get(budget.of or ""), purse.spent, purse.held, purse.start, purse.slice.end)
            for line, purse in await app.budgets.standings(keys, now_ms)
            for budget in (line.soft, line.hard)
            if budget is not None
        ]
    }


def standing(budget: Budget, name: str | None, spent: int, held: int, start: int, end: int) -> dict[str, Any]:
    """One budget for JSON. Amounts are exact decimal strings, in USD or tokens; `name` is the key's."""
    left = max(0, budget.amount - spent - held)
    amounts = {"amount": budget.amount, "spent": spent, "held": held, "left": left}
    return {
        "budget": shown(budget),
        "scope": budget.scope,
        "of": budget.of,
        "name": name,
        "unit": budget.unit,
        **{field: _decimal(value, budget.unit) for field, value in amounts.items()},
        "since": _moment(start),
        "renews": _moment(end),
    }


def _decimal(amount: int, unit: Unit) -> str:
    return usd_from_nano(amount) if unit == "usd" else str(amount)


def _moment(at_ms: int) -> str | None:
    """ISO 8601; None for the beginning and the end of all time."""
    if not 0 < at_ms < 1 << 60:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
