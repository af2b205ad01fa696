"""Budgets over a ledger that is a list: reserve, settle and look, without a store."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from kit import calls, records
from tollkeeper.core import budget
from tollkeeper.core.account import Account, Target
from tollkeeper.core.budget import Budget, Scope, Slice, Spent
from tollkeeper.core.call import Call
from tollkeeper.core.errors import CallerError
from tollkeeper.core.events import Event
from tollkeeper.core.keys import Key
from tollkeeper.core.money import Price
from tollkeeper.core.ports import Reservation
from tollkeeper.core.usage import Usage
from tollkeeper.policies.budgets import BudgetRules, Budgets
from tollkeeper.providers import PROVIDERS

NOW = records.NOW
PRICE = Price(version="1", input=1_000_000, output=2_000_000)
"""One nano-USD for a token of input, two for one of output."""
TARGET = Target(Account(name="up", provider=PROVIDERS["openai"]), "m", PRICE)
_NO_RULES = BudgetRules()
FRAME = 256
"""What is held for besides a request's bytes."""


def of_key(*texts: str, key_id: str = "key_1") -> tuple[Budget, ...]:
    """Budgets of a key."""
    return budget.parse_all(texts, "key", key_id)


def of(scope: Scope, name: str | None, *texts: str) -> tuple[Budget, ...]:
    """Budgets of somebody else."""
    return budget.parse_all(texts, scope, name)


class Listed:
    """Implements `core.ports.Balances` over a list of events, as slowly as `pause` is long, in passes of the loop."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.pause = 0
        self.trouble: Exception | None = None
        self.asked = 0

    async def spent(self, slices: Sequence[Slice], at_cut: Callable[[], None]) -> list[Spent]:
        self.asked += 1
        for _ in range(self.pause):
            await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        at_cut()
        seen = list(self.events)
        for _ in range(self.pause):
            await asyncio.sleep(0)
        return [summed(seen, each) for each in slices]


def summed(events: Sequence[Event], asked: Slice) -> Spent:
    """What these events come to."""
    among = [
        event
        for event in events
        if asked.start <= event.started_at < asked.end
        and asked.of == {"all": None, "team": event.team, "owner": event.owner, "key": event.key_id}[asked.scope]
    ]
    tokens = sum(event.usage.input_tokens + event.usage.output_tokens for event in among)
    return Spent(sum(event.cost_nano or 0 for event in among), tokens)


class Desk:
    """Budgets, and a ledger that tells them of every event."""

    def __init__(self, rules: BudgetRules = _NO_RULES) -> None:
        self.listed = Listed()
        self.warnings: list[tuple[str, int]] = []
        self.prices: dict[str | None, Price] = {}
        self.budgets = Budgets(
            rules,
            self.listed,
            lambda target, model, tier, when: self.prices.get(tier),
            lambda budget, spent: self.warnings.append((budget.id, spent)),
        )
        self.now = NOW

    async def ask(
        self, key: Key, body: dict[str, Any] | None = None, target: Target = TARGET, **fields: Any
    ) -> "Asked":
        """A call's reservation. Raises as `reserve`."""
        call = calls.call(key, {"model": "m", "messages": [], **(body or {})}, **fields)
        at = self.now
        return Asked(self, call, await self.budgets.reserve(call, target, at), at)

    async def refusal(self, key: Key, body: dict[str, Any] | None = None, **fields: Any) -> CallerError:
        """What a call is refused with."""
        try:
            await self.ask(key, body, **fields)
        except CallerError as error:
            return error
        raise AssertionError("it was admitted")

    def end(self, call: Call, at: int, cost: int | None, tokens: int = 0) -> None:
        """The ledger takes the event of an attempt."""
        key = call.key
        event = records.event(
            request_id=call.request_id,
            started_at=at,
            key_id=key.id,
            owner=key.owner,
            team=key.team,
            cost_nano=cost,
            usage=Usage(output_tokens=tokens),
        )
        self.listed.events.append(event)
        self.budgets.post(event)

    async def standing(self, key: Key, budget_id: str) -> tuple[int, int]:
        """What is spent of a budget, and held."""
        [purse] = [p for line, p in await self.budgets.standings([key], self.now) if line.id == budget_id]
        return purse.spent, purse.held


class Asked:
    """One attempt that was admitted."""

    def __init__(self, desk: Desk, call: Call, reservation: Reservation | None, at: int) -> None:
        self._desk = desk
        self._at = at
        self.call = call
        assert reservation is not None
        self.reservation = reservation

    def settle(self, cost: int | None, tokens: int = 0) -> None:
        """It is over."""
        self.reservation.settle(cost, Usage(output_tokens=tokens), None, True)
        self._desk.end(self.call, self._at, cost, tokens)
