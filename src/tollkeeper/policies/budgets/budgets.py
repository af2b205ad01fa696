"""Who may still spend: every budget that a call falls under is asked, widest first, and all are held in or none.

Rule 1: an attempt is held for at its ceiling, so that what is spent and held never exceeds a hard budget, whatever runs
        side by side. Where a request sets no limit to its output, one is set, so that there is a ceiling.
Rule 2: an adaptive budget holds what such calls have lately cost; what they can cost beyond that is added up, and never
        more than a share of the budget.
Rule 3: what cannot be held for, because nobody knows its price, is refused. Unknown is not zero.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from tollkeeper.core.account import Target
from tollkeeper.core.budget import Bounds, Budget
from tollkeeper.core.call import Call, Upload
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.keys import Key
from tollkeeper.core.money import Price
from tollkeeper.core.ports import Balances, Reservation
from tollkeeper.policies.budgets import refusals
from tollkeeper.policies.budgets.background import Background, Look
from tollkeeper.policies.budgets.book import Book, Purse
from tollkeeper.policies.budgets.ceiling import Ceiling
from tollkeeper.policies.budgets.history import History
from tollkeeper.policies.budgets.reservation import Held, Share
from tollkeeper.policies.budgets.rules import BudgetRules, Line, every_line, lines_of

PriceOf = Callable[[Target, str | None, str | None, int], Price | None]
"""(target, None, service tier, Unix ms) -> price, None where unknown."""
_LEAST_OUTPUT = 16
"""Tokens: what the Responses API takes at least (https://platform.openai.com/docs/api-reference/responses/create)."""
_STANDARD = (b'"auto"', b'"default"', b"null")
_BATCHES = frozenset(("batches", "messages/batches"))
"""Where many calls are asked for at once, for whenever: OpenAI's, Anthropic's."""
_MANY = 20_000
_AT_ONCE = 50
"""Purses opened at one time for whoever looks at all of them: calls that wait for one must not wait for all."""

Asked = Sequence[tuple[Line, Purse]]


class Budgets:
    """Implements `core.ports.Budgets`. `post` is to be told of every event that the ledger takes."""

    def __init__(
        self,
        rules: BudgetRules,
        balances: Balances,
        price_of: PriceOf,
        on_warning: Callable[[Budget, int], None],
    ) -> None:
        self._rules = rules
        self._shared = _any(rules)
        self._price_of = price_of
        self._on_warning = on_warning
        self._book = Book(balances)
        self._history = History()
        self._background = Background()
        self._lines: dict[str, tuple[Key, tuple[Line, ...]]] = {}
        self.refused: Counter[tuple[str, ...]] = Counter()
        """By scope and code."""
        self.warned: Counter[tuple[str, ...]] = Counter()
        """Windows in which a soft budget was spent, by scope."""
        self.overdrawn: Counter[tuple[str, ...]] = Counter()
        """Attempts that cost more than was held for them, by scope."""

    @property
    def rules(self) -> BudgetRules:
        """May be replaced at any time: what is spent and held stays."""
        return self._rules

    @rules.setter
    def rules(self, rules: BudgetRules) -> None:
        self._rules = rules
        self._shared = _any(rules)
        self._lines.clear()

    def post(self, event: Event) -> None:
        """An attempt has cost this much."""
        self._book.post(event)
        if self._background.charging:
            self._background.charged(event.request_id)

    def keep(self, holds: Iterable[Hold]) -> None:
        """Providers go on with these, which an earlier process has set aside."""
        for hold in holds:
            self._book.keep(hold)

    def expired(self, at_ms: int) -> list[Hold]:
        """Of these, what no end will be heard of any more; held until its event is posted."""
        return [hold for hold in self._book.detached.values() if hold.expires_at <= at_ms]

    def let_go(self, request_id: str) -> bool:
        return self._book.let_go(request_id)

    def concern(self, key: Key) -> bool:
        if not self._shared:
            return bool(key.budgets)
        return bool(self._lines_of(key))

    async def reserve(self, call: Call, target: Target, at_ms: int) -> Reservation | None:
        book, opened = self._book, True
        asked: list[tuple[Line, Purse]] = []
        for line in self._lines_of(call.key):
            purse = book.purse(line.id, line.any, at_ms)
            asked.append((line, purse))
            opened = opened and purse.opened
        if not opened:
            await book.open([purse for _, purse in asked])
            if not call.dry:  # others may have been admitted meanwhile
                call.notes.append(("budgets", "read from the ledger first"))
        return self._admit(call, target, at_ms, asked)

    async def standings(self, keys: Sequence[Key], at_ms: int) -> list[tuple[Line, Purse]]:
        """Every budget that there is and its purse, opened. Raises GateError."""
        asked = [(line, self._book.purse(line.id, line.any, at_ms)) for line in every_line(self._rules, keys)]
        for at in range(0, len(asked), _AT_ONCE):
            await self._book.open([purse for _, purse in asked[at : at + _AT_ONCE]])
        return asked

    def _lines_of(self, key: Key) -> tuple[Line, ...]:
        known = self._lines.get(key.id)
        if known is not None and known[0] is key:
            return known[1]
        if len(self._lines) >= _MANY:
            self._lines.clear()
        lines = lines_of(key, self._rules)
        self._lines[key.id] = (key, lines)
        return lines

    # --- nothing is awaited from here on ----------------------------------------------------------------------------

    def _admit(self, call: Call, target: Target, at_ms: int, asked: Asked) -> Reservation | None:
        hard: list[tuple[Budget, Purse]] = []
        soft = False
        for line, purse in asked:
            if line.hard is not None:
                hard.append((line.hard, purse))
            soft |= line.soft is not None
        if not call.metered:
            if hard and call.path in _BATCHES and call.method == "POST":
                self._count(call, hard[0][0], "price_unknown")
                raise refusals.price_unknown(call, call.path)
            return Look(self._background, target.account.name, call.request_id) if self._background else None
        tier = call.members.get("service_tier")
        standard = tier is None or bytes(tier) in _STANDARD
        price = target.price or self._price_of(target, None, None if standard else _text(tier), at_ms)
        if price is None or "models" in call.members:
            for budget, _ in hard:
                if budget.unit == "usd":
                    self._count(call, budget, "price_unknown")
                    raise refusals.price_unknown(call, target.name)
        headers = self._warnings(asked) if soft else []
        if not hard:
            return self._held(call, target, at_ms, Ceiling(0, None), (), {}, headers)
        bounds, ceiling = self._bounded(call, target, price)
        output, changes = self._output(call, target, bounds, ceiling, hard, headers)
        parts: list[tuple[Budget, Purse, int, int]] = []
        for budget, purse in hard:
            held = most = ceiling.of(budget.unit, output)
            note: tuple[object, ...] = ("budget", purse.id, budget.unit, budget.amount, purse.spent, purse.held, most)
            if budget.adaptive:
                held = self._part(call, ceiling, most, budget, purse)
                note = (*note, held)
            call.notes.append(note)
            if held > budget.amount - purse.spent - purse.held:
                self._refuse(call, budget, purse, held)
            parts.append((budget, purse, held, most - held))
        shares = [] if call.dry else [Share(*part) for part in parts]
        return self._held(call, target, at_ms, ceiling, shares, changes, headers)

    def _held(
        self,
        call: Call,
        target: Target,
        at_ms: int,
        ceiling: Ceiling,
        shares: Sequence[Share],
        changes: Mapping[str, bytes],
        headers: Sequence[tuple[bytes, bytes]],
    ) -> Held:
        account, background = target.account.name, self._background
        return Held(call, ceiling, shares, changes, headers, account, at_ms, background, self._history, self.overdrawn)

    def _warnings(self, asked: Asked) -> list[tuple[bytes, bytes]]:
        spent = [(line.soft, purse) for line, purse in asked if line.soft and purse.spent >= line.soft.amount]
        for budget, purse in spent:
            if not purse.warned:
                purse.warned = True
                self.warned[budget.scope,] += 1
                self._on_warning(budget, purse.spent)
        if not spent:
            return []
        return [(b"x-tollkeeper-budget-warning", b"; ".join(refusals.warning(*each) for each in spent))]

    def _bounded(self, call: Call, target: Target, price: Price | None) -> tuple[Bounds, Ceiling]:
        size = 0 if isinstance(call.body, Upload) else len(call.body)
        bounds = call.dialect.bounds(call.path, call.members, size, target.account.provider)
        tokens = bounds.input_tokens
        if bounds.elsewhere or isinstance(call.body, Upload):
            tokens = (price.context if price is not None else None) or self._rules.options.unbounded_input
        return bounds, Ceiling(tokens, price)

    def _output(
        self,
        call: Call,
        target: Target,
        bounds: Bounds,
        ceiling: Ceiling,
        hard: Sequence[tuple[Budget, Purse]],
        headers: list[tuple[bytes, bytes]],
    ) -> tuple[int, dict[str, bytes]]:
        """Output tokens of all choices, and what must be sent so that there are no more. Raises CallerError."""
        field, choices, given = bounds.field, bounds.choices, bounds.output_tokens
        if given is not None:
            restated = field is not None and not bounds.stated
            return given * choices, {field: b"%d" % given} if restated and field is not None else {}
        most = self._rules.options.default_output
        if target.max_output is not None:
            most = min(most, target.max_output)
        if field is None:
            return most * choices, {}
        for budget, purse in hard:
            room = budget.amount - purse.spent - purse.held + self._spare_risk(budget, purse)
            within = ceiling.output_within(budget.unit, room) // choices
            if within < _LEAST_OUTPUT:
                self._refuse(call, budget, purse, ceiling.of(budget.unit, _LEAST_OUTPUT * choices))
            most = min(most, within)
        call.notes.append(("clamped", field, most))
        headers.append((b"x-tollkeeper-clamped", b"%b=%d" % (field.encode(), most)))
        return most * choices, {field: b"%d" % most}

    def _part(self, call: Call, ceiling: Ceiling, most: int, budget: Budget, purse: Purse) -> int:
        """What is to be held in an adaptive budget for an attempt that can cost `most`."""
        usual = self._history.high(call.key.id, call.model or "", budget.unit)
        if usual is None:
            return most
        return min(most, max(usual, ceiling.of(budget.unit, 0), most - self._spare_risk(budget, purse)))

    def _spare_risk(self, budget: Budget, purse: Purse) -> int:
        if not budget.adaptive:
            return 0
        return max(0, int(budget.amount * self._rules.options.adaptive_overshoot) - purse.risk)

    def _refuse(self, call: Call, budget: Budget, purse: Purse, need: int) -> None:
        waits = need <= budget.amount - purse.spent
        self._count(call, budget, "budget_held" if waits else "budget_exceeded")
        raise (refusals.held_up if waits else refusals.exceeded)(budget, purse, need)

    def _count(self, call: Call, budget: Budget, code: str) -> None:
        if not call.dry:
            self.refused[budget.scope, code] += 1


def _any(rules: BudgetRules) -> bool:
    return bool(rules.all or rules.each_key or rules.teams or rules.owners)


def _text(value: msgspec.Raw | None) -> str | None:
    found = msgspec.json.decode(value) if value is not None else None
    return found if isinstance(found, str) else None
