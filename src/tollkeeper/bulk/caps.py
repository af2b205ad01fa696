"""What a job may spend in all: in this process a budget of its key's, through a gate a tally of its own.

Rule: the cap holds over all runs of a job, what a crash left unfinished included.
"""

from collections.abc import Awaitable, Callable

import msgspec

from tollkeeper.bulk.journal import Journal
from tollkeeper.bulk.shaping import Request
from tollkeeper.bulk.tries import Answer, Ask
from tollkeeper.core.budget import Budget
from tollkeeper.core.keys import Key
from tollkeeper.core.money import usd_from_nano

_BEFORE, _AFTER = "spent_before", "spent_after"


class KeyCap:
    """The cap as a budget: the ledger holds what each call may cost, so that it is never passed.

    `spent` tells what the key has spent in its life, in nano-USD. What others spend with the same key between two runs
    is not the job's; while it runs, or after a crash, it counts as such.
    """

    def __init__(self, most: int, journal: Journal, spent: Callable[[], Awaitable[int]]) -> None:
        self._most = most
        self._journal = journal
        self._spent = spent

    async def begin(self, key: Key) -> Key:
        """The key with the cap among its budgets."""
        noted, now = self._journal.about(), await self._spent()
        before = int(noted.get(_BEFORE, now))
        if noted.get(_AFTER):
            before += now - int(noted[_AFTER])
        self._journal.note(**{_BEFORE: str(before), _AFTER: ""})
        own = [
            budget for budget in key.budgets if budget.unit == "usd" and budget.window == "total" and not budget.soft
        ]
        amount = min([before + self._most, *(budget.amount for budget in own)])
        cap = Budget(scope="key", of=key.id, amount=amount, unit="usd", window="total")
        rest = tuple(budget for budget in key.budgets if budget not in own)
        return msgspec.structs.replace(key, budgets=(*rest, cap))

    async def end(self, *, whole: bool) -> None:
        """The job is over; `whole` where no call was left whose cost comes later."""
        if not whole:
            return
        self._journal.note(**{_AFTER: str(await self._spent())})


class Tally:
    """Implements `running.Ask` around another: begins a call only while what has been spent, and the most that a call has
    cost for each one under way, leave room for it. Until a cost is known, one call at a time.

    It may be passed by what a call costs more than any before it.
    """

    def __init__(self, ask: Ask, most: int, spent: int) -> None:
        self._ask = ask
        self._most = most
        self._spent = spent
        self._dearest: int | None = None
        self._under_way = 0
        self._unpriced = False

    async def __call__(self, request: Request, attempt: int) -> Answer:
        if self._unpriced:
            return _refusal("price_unknown", "what calls cost is not told, so no cap can be kept")
        need = self._dearest or 0
        if self._spent + need * (self._under_way + 1) > self._most or (not self._dearest and self._under_way):
            if self._under_way:
                return _refusal("budget_held", "calls under way may cost what is left")
            return _refusal(
                "budget_exceeded", f"{usd_from_nano(self._spent)} of {usd_from_nano(self._most)} USD are spent"
            )
        self._under_way += 1
        try:
            answer = await self._ask(request, attempt)
        finally:
            self._under_way -= 1
        if answer.cost_nano is not None:
            self._spent += answer.cost_nano
            self._dearest = max(self._dearest or 1, answer.cost_nano)
        elif answer.status == 200:
            self._unpriced = True
        return answer


def _refusal(code: str, message: str) -> Answer:
    error = {"message": message, "type": "insufficient_quota", "code": code}
    return Answer(429, msgspec.json.encode({"error": error}))
