"""What a call would become if it were made: who would be asked, what would be sent, what that would cost. Sends nothing."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from tollkeeper.core.account import Target
from tollkeeper.core.budget import Bounds
from tollkeeper.core.call import Call, Reply, Upload
from tollkeeper.core.errors import GateError, TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.money import MILLION, Price, usd_from_nano
from tollkeeper.core.ports import Budgets
from tollkeeper.core.usage import Usage
from tollkeeper.flow.attempt import PriceOf
from tollkeeper.flow.choosing import Member, Pool
from tollkeeper.flow.counting import Counting
from tollkeeper.flow.failover import NOT_HERE, Failover
from tollkeeper.flow.passage import Passage, as_asked, carried, kept_to
from tollkeeper.flow.render import Outgoing, render
from tollkeeper.wire import json_text

TypicalOutput = Callable[[str, str | None], int | None]
"""(key id, model asked for) -> output tokens that such calls have lately had, None where there were none. Blocking."""
_JSON = [(b"content-type", b"application/json")]
_encode = msgspec.json.Encoder().encode


class Tokens(Struct, frozen=True):
    """How many there can be, or will probably be, and what they cost; None where that is not known."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: str | None = None


class Sketch(Struct, frozen=True, kw_only=True):
    """The answer of the engine to a call that is only asked about."""

    answered_from: str = "provider"
    """provider, cache, or replay: of a call with the same Idempotency-Key."""
    candidates: list[dict[str, object]] = []
    request: dict[str, object] | None = None
    price_version: str | None = None
    ceiling: Tokens = Tokens()
    expected: Tokens = Tokens()


class Draft(Struct, frozen=True):
    """The request that one target would get."""

    asked: Call
    """In the target's dialect, with what the target changes in every request."""
    passed: Passage | None
    """Where that is another dialect than the client's."""
    limits: dict[str, bytes]
    """Members that a budget sets."""
    outgoing: Outgoing


class Rehearsal:
    """Goes through the engine's steps as far as can be without taking or sending anything."""

    def __init__(
        self,
        failover: Failover,
        budgets: Budgets,
        price_of: PriceOf,
        counting: Counting,
        typical_output: TypicalOutput,
        trouble: Callable[[], GateError | None],
        now: Clock,
    ) -> None:
        self._failover = failover
        self._budgets = budgets
        self._price_of = price_of
        self._counting = counting
        self._typical_output = typical_output
        self._trouble = trouble
        self._now = now

    async def __call__(self, call: Call, pool: Pool) -> Reply:
        """A `Sketch` as JSON. Raises TollkeeperError as the call would, were it made now."""
        kept = next((note[:2] for note in call.notes if note[:2] in _KEPT), None)
        if kept is not None:
            return Reply(200, list(_JSON), _encode(Sketch(answered_from=_KEPT[kept])))
        choice = self._failover.candidates(call, pool)
        refused: dict[Member, TollkeeperError] = {}
        for member in choice.order:
            try:
                draft = await self._draft(call, member.target)
                break
            except TollkeeperError as error:
                if error.code not in NOT_HERE:
                    raise
                refused[member] = error
        else:
            raise refused[choice.order[0]]
        first = "those before it were passed over" if refused else choice.reason
        candidates: list[dict[str, object]] = [
            {"target": each.name, "reason": first if each is member else "if those before it fail"}
            for each in choice.order
            if each not in refused
        ]
        candidates += [{"target": each.name, "skipped": error.code} for each, error in refused.items()]
        candidates += [{"target": each.name, "skipped": reason} for each, reason in choice.skipped]
        target, at_ms = member.target, int(self._now() * 1000)
        trouble = self._trouble()
        if trouble is not None:
            raise trouble
        price = target.price or self._price_of(target, None, None, at_ms)
        sketch = Sketch(
            candidates=candidates,
            request=_shown(call, target, draft),
            price_version=None if price is None else price.version,
            ceiling=_ceiling(draft, target, price),
            expected=await self._expected(call, draft.asked, target, price),
        )
        return Reply(200, list(_JSON), _encode(sketch))

    async def _draft(self, call: Call, target: Target) -> Draft:
        """What `Sending` would send. Raises TollkeeperError as it does."""
        now = self._now()
        asked, passed = carried(call, target, now)
        limits = {}
        if self._budgets.concern(call.key):
            reservation = await self._budgets.reserve(*as_asked(asked, passed, target), int(now * 1000))
            if reservation is not None:
                limits = dict(reservation.changes)
                asked, passed = kept_to(limits, asked, passed, call, target, now)
        return Draft(asked, passed, limits, render(asked, target, limits))

    async def _expected(self, call: Call, asked: Call, target: Target, price: Price | None) -> Tokens:
        """The input counted, and as much output as such calls have lately had."""
        if not (call.metered and call.members and call.dialect.counts_text):
            return Tokens()
        counted = await self._counting.prompt(call, target.model)
        typical = await asyncio.to_thread(self._typical_output, call.key.id, call.model)
        given = _bounds(asked, target)
        if typical is not None and given.output_tokens is not None:
            typical = min(typical, given.output_tokens * given.choices)
        if price is None or typical is None:
            return Tokens(counted, typical)
        usage = Usage(input_tokens=counted, output_tokens=typical)
        return Tokens(counted, typical, usd_from_nano(price.cost(usage)))


_KEPT: dict[tuple[object, ...], str] = {("cache", "hit"): "cache", ("idempotency", "replayed"): "replay"}


def _bounds(asked: Call, target: Target) -> Bounds:
    size = 0 if isinstance(asked.body, Upload) else len(asked.body)
    return asked.dialect.bounds(asked.path, asked.members, size, target.account.provider)


def _ceiling(draft: Draft, target: Target, price: Price | None) -> Tokens:
    """What the request bounds by itself or by what the gate adds to it."""
    asked, limits = draft.asked, draft.limits
    if not asked.metered or not asked.members:
        return Tokens()
    bounds = _bounds(asked, target)
    most_in = None if bounds.elsewhere else bounds.input_tokens
    output = bounds.output_tokens
    if output is None and bounds.field in limits:
        output = int(limits[bounds.field])
    most_out = None if output is None else output * bounds.choices
    if price is None or most_in is None or most_out is None:
        return Tokens(most_in, most_out)
    dear_in, dear_out = price.dearest()
    nano = -(-(most_in * dear_in + most_out * dear_out) // MILLION) + price.request
    return Tokens(most_in, most_out, usd_from_nano(nano))


def _shown(call: Call, target: Target, draft: Draft) -> dict[str, object]:
    """Where it would go, and what the gate would change in it: its own values, none of the caller's."""
    outgoing, passed = draft.outgoing, draft.passed
    parts = urlsplit(outgoing.url)
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(f"{pair.partition('=')[0]}=…" for pair in parts.query.split("&")) if parts.query else ""
    shown: dict[str, object] = {
        "method": outgoing.method.decode(),
        "url": urlunsplit((parts.scheme.rpartition("+")[2], host, parts.path, query, "")),
        "dialect": draft.asked.dialect.name,
        "changed": {},
        "dropped": [] if passed is None else list(passed.dropped),
    }
    if call.members and isinstance(outgoing.body, bytes):
        given = call.members if passed is None else passed.call.members
        sent = json_text.members(outgoing.body)
        changed = {
            name: msgspec.json.decode(value)
            for name, value in sent.items()
            if name not in given or bytes(value) != bytes(given[name])
        }
        if passed is None:
            shown["dropped"] = [name for name in given if name not in sent]
        else:
            changed |= {name: msgspec.json.decode(sent[name]) for name in draft.limits if name in sent}
            if "model" in sent and target.model != call.model:
                changed["model"] = target.model
        shown["changed"] = changed
    elif isinstance(call.body, Upload) and call.body.replace is not None and target.model not in (None, call.model):
        shown["changed"] = {"model": target.model}
    return shown
