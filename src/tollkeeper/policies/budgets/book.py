"""The book: what was spent and what is held, purse by purse, in memory.

Rule 1: a purse is of one budget's one window. A window that ends takes nothing with it: what it held is settled in it.
Rule 2: what was spent is the sum of the ledger's events that began in the window, whoever reserved for them or did not.
Rule 3: what a provider goes on with, whatever becomes of us, is held in every purse that it falls under until its end is
        known.
Rule 4: nothing is awaited between looking into purses and taking from them, so that no lock is needed.
"""

import asyncio
from collections.abc import Sequence

from tollkeeper.core.budget import FOREVER, Budget, Scope, Slice, Spent
from tollkeeper.core.errors import GateError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.ports import Balances
from tollkeeper.core.windows import bounds

_MANY = 10_000
"""Purses from which on those of windows that are over are forgotten; what was spent from them the ledger knows."""


class Purse:
    """One window of one budget. Amounts are nano-USD or tokens, as the budget's."""

    __slots__ = ("end", "held", "id", "opened", "opening", "risk", "slice", "spent", "start", "unit", "warned")

    def __init__(self, budget_id: str, budget: Budget, start: int, end: int | None) -> None:
        self.id = budget_id
        self.unit = budget.unit
        self.start = start
        self.end = FOREVER if end is None else end
        self.slice = Slice(budget.scope, budget.of, self.start, self.end)
        self.spent = 0
        self.held = 0
        self.risk = 0
        """What the attempts under way can cost beyond what is held for them."""
        self.opened = False
        self.opening: asyncio.Task[GateError | None] | None = None
        self.warned = False


class Book:
    """All purses. `post` is to be told of every event that the ledger takes."""

    def __init__(self, balances: Balances) -> None:
        self._balances = balances
        self._purses: dict[tuple[str, int], Purse] = {}
        self._current: dict[str, Purse] = {}
        self._crowded = _MANY
        self.detached: dict[str, Hold] = {}
        """By request."""
        self._posted: dict[Scope, dict[str | None, list[Purse]]] = {"all": {}, "team": {}, "owner": {}, "key": {}}

    def purse(self, budget_id: str, budget: Budget, at_ms: int) -> Purse:
        """The purse of the window that `at_ms` lies in. It may have to be opened."""
        purse = self._current.get(budget_id)
        if purse is not None and purse.start <= at_ms < purse.end:
            return purse
        start, end = bounds(budget.window, budget.zone, at_ms)
        purse = self._purses.get((budget_id, start))
        if purse is None:
            if len(self._purses) >= self._crowded:
                self._forget()
            purse = self._purses[budget_id, start] = Purse(budget_id, budget, start, end)
            purse.held = sum(_held(purse, hold) for hold in self.detached.values())
        self._current[budget_id] = purse
        return purse

    def keep(self, hold: Hold) -> None:
        """A provider goes on with this."""
        self.detached[hold.request_id] = hold
        for purse in self._purses.values():
            purse.held += _held(purse, hold)

    def let_go(self, request_id: str) -> bool:
        """Its end is known, or others hold for it; whether it was held here."""
        hold = self.detached.pop(request_id, None)
        if hold is None:
            return False
        for purse in self._purses.values():
            purse.held -= _held(purse, hold)
        return True

    async def open(self, purses: Sequence[Purse]) -> None:
        """Finds out what was spent. Raises GateError where that cannot be."""
        new = [purse for purse in purses if not purse.opened and purse.opening is None]
        if new:
            task = asyncio.get_running_loop().create_task(self._open(new))
            for purse in new:
                purse.opening = task
        for task in {purse.opening for purse in purses if purse.opening is not None}:
            error = await asyncio.shield(task)
            if error is not None:
                raise GateError(error.message, code=error.code)

    async def _open(self, purses: Sequence[Purse]) -> GateError | None:
        try:
            sums = await self._balances.spent([purse.slice for purse in purses], lambda: self._begin(purses))
        except GateError as error:
            for purse in purses:
                self._end(purse)
                purse.spent, purse.opening = 0, None
            return error
        for purse, found in zip(purses, sums, strict=True):
            purse.spent += _in_unit(purse, found)
            purse.opened, purse.opening = True, None
        return None

    def _begin(self, purses: Sequence[Purse]) -> None:
        for purse in purses:
            self._posted[purse.slice.scope].setdefault(purse.slice.of, []).append(purse)

    def _end(self, purse: Purse) -> None:
        listed = self._posted[purse.slice.scope]
        among = listed.get(purse.slice.of, [])
        if purse in among:
            among.remove(purse)
            if not among:
                del listed[purse.slice.of]

    def post(self, event: Event) -> None:
        """An attempt has cost this much: spent in the windows in which it began."""
        if self.detached:
            self.let_go(event.request_id)
        if not self._purses:
            return
        posted = self._posted
        for purses in (
            posted["key"].get(event.key_id),
            posted["all"].get(None),
            posted["team"].get(event.team) if event.team is not None else None,
            posted["owner"].get(event.owner) if event.owner is not None else None,
        ):
            if purses is not None:
                for purse in purses:
                    if purse.start <= event.started_at < purse.end:
                        if purse.unit == "usd":
                            purse.spent += event.cost_nano or 0
                        else:
                            purse.spent += event.usage.input_tokens + event.usage.output_tokens

    def _forget(self) -> None:
        for (budget_id, start), purse in list(self._purses.items()):
            idle = purse.opened and not purse.held and not purse.risk
            if idle and self._current.get(budget_id) is not purse:
                del self._purses[budget_id, start]
                self._end(purse)
        self._crowded = max(_MANY, 2 * len(self._purses))


def _held(purse: Purse, hold: Hold) -> int:
    of = {"all": None, "team": hold.team, "owner": hold.owner, "key": hold.key_id}[purse.slice.scope]
    if of != purse.slice.of or not purse.start <= hold.started_at < purse.end:
        return 0
    return (hold.held_nano if purse.unit == "usd" else hold.held_tokens) or 0


def _in_unit(purse: Purse, found: Spent) -> int:
    return found.nano if purse.unit == "usd" else found.tokens
