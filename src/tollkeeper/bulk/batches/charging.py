"""What a batch's rows cost: set aside in the key's budgets while they are under way, one event a row when they are done.

The price is genai-prices' for batches; where it knows none, or the config sets the model's price, half of the plain one.
A row's event has an id of its part and its place: results that are read twice are charged once.
Before a part goes to the provider, what its rows hold is on disk as one hold of the part's own. It outlives this process: a
gate that serves the home next keeps it, and a job that goes on holds for its rows again in its place.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from tollkeeper.bulk.batches.service import Part, Result
from tollkeeper.core import receipt
from tollkeeper.core.account import Target
from tollkeeper.core.call import Call, Presence
from tollkeeper.core.errors import CallerError, model_not_found
from tollkeeper.core.events import Event, Hold, Outcome, Quality
from tollkeeper.core.ids import Clock
from tollkeeper.core.keys import Key
from tollkeeper.core.money import Price
from tollkeeper.core.ports import Budgets, Ledger, Reservation
from tollkeeper.core.usage import NOTHING
from tollkeeper.dialects.openai_paths import endpoint
from tollkeeper.wire import json_text

TIER = "batch"
"""The service tier by which genai-prices is asked for batch prices (metering/prices.py)."""
_LONGEST_RAW = 4096
_KEPT_MS = 30 * 86_400_000
"""How long providers keep results (https://platform.openai.com/docs/api-reference/batch, 30 days; Anthropic 29): then
nobody can hear any more what a part has cost."""
PriceOf = Callable[[Target, str | None, str | None, int], Price | None]


class Books(Protocol):
    """Where events go."""

    def record(self, event: Event) -> None: ...


class Charging:
    """For one key and one kind of batch API."""

    def __init__(self, key: Key, budgets: Budgets, price_of: PriceOf, ledger: Ledger, books: Books, now: Clock) -> None:
        self.key = key
        """Whose rows these are; may be replaced before the first one."""
        self._budgets = budgets
        self._price_of = price_of
        self._ledger = ledger
        self._books = books
        self._now = now
        self._held: dict[int, Reservation] = {}
        self._on_disk: set[str] = set()
        """Tokens of the parts whose holds are in the ledger."""

    async def reserve(self, index: int, path: str, model: str, target: Target, body: bytes) -> bytes:
        """Sets aside what the row can cost at most; its body, with a limit to its output where that needs one.

        Raises CallerError where the key may not use the model, or a budget refuses (`budget_held`: until others end).
        """
        if not self.key.may_use(model):
            raise model_not_found(model)
        if not self._budgets.concern(self.key):
            return body
        found = endpoint(path, "POST")
        members = json_text.members(body)
        now = int(self._now() * 1000)
        call = Call(
            request_id=f"{index}",
            key=self.key,
            dialect=found.dialect,
            method="POST",
            path=path,
            query=b"",
            headers=[],
            body=body,
            model=model,
            streamed=False,
            accepted_at=0.0,
            presence=Presence(),
            members=members,
        )
        price = self._price(target, None, now)
        if price is not None:
            target = msgspec.structs.replace(target, price=price)
        reservation = await self._budgets.reserve(call, target, now)
        if reservation is None:
            return body
        self._held[index] = reservation
        return json_text.replaced(body, members, reservation.changes) if reservation.changes else body

    def release(self, index: int) -> None:
        """The row will not be run, or is over."""
        reservation = self._held.pop(index, None)
        if reservation is not None:
            reservation.release()

    def take_up(self, part: Part) -> None:
        """An earlier run has sent the part, or was about to: what that set aside is set aside row by row from here on."""
        if self._budgets.let_go(part.token):
            self._on_disk.add(part.token)

    async def dispatch(self, part: Part, target: Target, rows: Iterable[int], input_bound: int) -> None:
        """Returns when what the part's rows hold is on disk. Raises GateError when it cannot be written."""
        if part.token in self._on_disk:
            return
        found = endpoint(part.path, "POST").dialect
        held = [self._held[index] for index in rows if index in self._held]
        began = part.planned_at * 1000
        await self._ledger.hold(
            Hold(
                request_id=part.token,
                attempt=1,
                started_at=began,
                expires_at=began + _KEPT_MS,
                key_id=self.key.id,
                owner=self.key.owner,
                team=self.key.team,
                operation=found.operation,
                dialect=found.name,
                model_asked=part.model,
                provider=target.account.name,
                model=target.model,
                streamed=False,
                input_bound=input_bound,
                held_nano=_sum(each.held_nano for each in held),
                held_tokens=_sum(each.held_tokens for each in held),
                detached=True,
            )
        )
        self._on_disk.add(part.token)

    def end(self, part: Part) -> None:
        """Nothing more can come of the part, or it was surely not begun."""
        if part.token in self._on_disk:
            self._on_disk.discard(part.token)
            self._ledger.release(part.token, 1)

    def settle(self, part: Part, target: Target, index: int, result: Result) -> int | None:
        """The row was run: writes its event; what it cost in nano-USD, None where nobody knows."""
        now = int(self._now() * 1000)
        began = part.planned_at * 1000
        reported = result.heard.reported
        usage = reported.usage if reported is not None else NOTHING
        price = self._price(target, result.heard.model, began)
        well = result.status < 400
        quality: Quality = "reported"
        cost: int | None = 0
        if reported is not None and price is not None:
            cost = price.cost(usage)
        elif well:
            quality, cost = "unpriced", None
        outcome: Outcome = "ok" if well else ("error" if result.status < 500 else "upstream_error")
        found = endpoint(part.path, "POST").dialect
        self._books.record(
            Event(
                request_id=f"{part.token}-{index}",
                attempt=1,
                started_at=began,
                key_id=self.key.id,
                owner=self.key.owner,
                team=self.key.team,
                operation=found.operation,
                dialect=found.name,
                model_asked=part.model,
                provider=target.account.name,
                model=target.model,
                model_used=result.heard.model,
                streamed=False,
                outcome=outcome,
                status=result.status,
                error_code=None if well else f"status_{result.status}",
                quality=quality,
                usage=usage,
                cost_nano=cost,
                price_version=price.version if price is not None else None,
                usage_raw=reported.raw[:_LONGEST_RAW].decode("utf-8", "replace") if reported is not None else None,
                first_byte_ms=None,
                duration_ms=float(now - began),
                overhead_ms=0.0,
                trace=None if price is None or reported is None else f"[{receipt.note(price.in_force(usage))}]",
            )
        )
        self.release(index)
        return cost

    def _price(self, target: Target, model: str | None, at_ms: int) -> Price | None:
        return batch_price(self._price_of, target, model, at_ms)


def _sum(amounts: Iterable[int | None]) -> int | None:
    """None where no budget of that unit was asked."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def batch_price(price_of: PriceOf, target: Target, model: str | None, at_ms: int) -> Price | None:
    """What the target asks for rows in a batch; None where it is not known."""
    if target.price is not None:
        return target.price.halved()
    plain = price_of(target, model, None, at_ms)
    found = price_of(target, model, TIER, at_ms)
    if plain is None or found is None:
        return None
    return plain.halved() if (found.input, found.output) == (plain.input, plain.output) else found


def supported(targets: Sequence[Target], kind: str) -> Target:
    """The first that has that kind of batch API. Raises CallerError."""
    for target in targets:
        if target.account.provider.batch == kind:
            return target
    names = ", ".join(target.name for target in targets)
    other = next((target.account.provider.batch for target in targets if target.account.provider.batch), None)
    hint = "ask without --batch" if other is None else f"say --batch {other}"
    raise CallerError(f"{names} has no batch API of the kind {kind}: {hint}.", code="batch_unsupported", param="batch")
