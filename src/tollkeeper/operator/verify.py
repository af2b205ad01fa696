"""/api/verify: whether a running gate's book of budgets has what its ledger has, at one and the same moment."""

import time
from typing import TYPE_CHECKING

from starlette.requests import Request

from tollkeeper.operator.budgets import standing

if TYPE_CHECKING:
    from tollkeeper.app import App


async def verify(request: Request, app: "App") -> object:
    """Every budget's current window: spent by the book that admits calls, and by the sums of the ledger's events.

    The rest of the proof reads the whole store and would take the processor from the calls: `tollkeeper verify` does it.
    """
    now_ms = int(time.time() * 1000)
    keys = [key for key in app.key_store.list() if key.usable(now_ms)]
    names = {key.id: key.name for key in keys}
    lines = await app.budgets.standings(keys, now_ms)
    purses = [purse for _, purse in lines]
    book: list[tuple[int, int]] = []
    spent = await app.balances.spent(
        [purse.slice for purse in purses], lambda: book.extend((purse.spent, purse.held) for purse in purses)
    )
    data = []
    for (line, purse), (by_book, held), by_ledger in zip(lines, book, spent, strict=True):
        found = by_ledger.nano if purse.unit == "usd" else by_ledger.tokens
        for budget in (line.soft, line.hard):
            if budget is not None:
                told = standing(budget, names.get(budget.of or ""), by_book, held, purse.start, purse.slice.end)
                in_ledger = standing(budget, None, found, 0, purse.start, purse.slice.end)["spent"]
                data.append({**told, "spent_by_ledger": in_ledger, "ok": found == by_book})
    return {"ok": all(line["ok"] for line in data), "data": data}
