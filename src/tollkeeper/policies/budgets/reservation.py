"""What is set aside for one attempt, from the moment it may be sent until its cost is known."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tollkeeper.core.budget import Budget, Unit
from tollkeeper.core.call import Call
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.usage import Usage
from tollkeeper.policies.budgets import refusals
from tollkeeper.policies.budgets.background import Background
from tollkeeper.policies.budgets.book import Purse
from tollkeeper.policies.budgets.ceiling import NO_END, Ceiling
from tollkeeper.policies.budgets.history import History


class Share:
    """Of one purse: what is held in it, and what the attempt can cost beyond that."""

    __slots__ = ("budget", "held", "purse", "risk")

    def __init__(self, budget: Budget, purse: Purse, held: int, risk: int) -> None:
        self.budget = budget
        self.purse = purse
        self.held = held
        self.risk = risk
        purse.held += held
        purse.risk += risk


class Held:
    """Implements `core.ports.Reservation`."""

    __slots__ = (
        "_account",
        "_at_ms",
        "_background",
        "_call",
        "_ceiling",
        "_history",
        "_overdrawn",
        "_shares",
        "_tightest",
        "changes",
        "headers",
        "output_tokens",
    )

    def __init__(
        self,
        call: Call,
        ceiling: Ceiling,
        shares: Sequence[Share],
        changes: Mapping[str, bytes],
        headers: Sequence[tuple[bytes, bytes]],
        account: str,
        at_ms: int,
        background: Background,
        history: History,
        overdrawn: Counter[tuple[str, ...]],
    ) -> None:
        self._account = account
        self._at_ms = at_ms
        self._background = background
        self._call = call
        self._ceiling = ceiling
        self._shares = shares
        self._tightest: Share | None = None
        self._history = history
        self._overdrawn = overdrawn
        self.changes = changes
        self.headers = headers
        within = NO_END
        for share in shares:
            room = ceiling.output_within(share.budget.unit, share.held)
            if room < within:
                within = room
        self.output_tokens = within

    @property
    def held_nano(self) -> int | None:
        return self._most("usd")

    @property
    def held_tokens(self) -> int | None:
        return self._most("tokens")

    def _most(self, unit: Unit) -> int | None:
        most: int | None = None
        for share in self._shares:
            if share.budget.unit == unit and (most is None or share.held > most):
                most = share.held
        return most

    def grow(self, output_tokens: int) -> bool:
        return self._grow(output_tokens + output_tokens // 4 + 256) or self._grow(output_tokens)

    def _grow(self, output_tokens: int) -> bool:
        more = [max(0, self._ceiling.of(share.budget.unit, output_tokens) - share.held) for share in self._shares]
        for share, needed in zip(self._shares, more, strict=True):
            purse = share.purse
            if needed > share.budget.amount - purse.spent - purse.held:
                self._tightest = share
                return False
        for share, needed in zip(self._shares, more, strict=True):
            less = min(needed, share.risk)
            share.held += needed
            share.purse.held += needed
            share.risk -= less
            share.purse.risk -= less
        self.output_tokens = output_tokens
        return True

    def stopped(self) -> TollkeeperError:
        share = self._tightest or self._shares[0]
        return refusals.stopped(share.budget, share.purse)

    def settle(self, cost_nano: int | None, usage: Usage, response: str | None, ended: bool) -> None:
        if response is not None and not ended and self._shares:
            self._background.keep(self._account, response, self, self._at_ms)
            return
        tokens = usage.input_tokens + usage.output_tokens
        for share in self._shares:
            budget = share.budget
            actual = tokens if budget.unit == "tokens" else cost_nano or 0
            if budget.adaptive and actual:
                self._history.add(self._call.key.id, self._call.model or "", budget.unit, actual)
            over = actual - share.held - share.risk
            if over > 0:
                self._call.notes.append(("overdraft", share.purse.id, over))
                self._overdrawn[budget.scope,] += 1
        self.release()

    def release(self) -> None:
        shares, self._shares = self._shares, ()
        for share in shares:
            share.purse.held -= share.held
            share.purse.risk -= share.risk
