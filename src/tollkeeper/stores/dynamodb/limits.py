"""The counters of rate limits on DynamoDB, exact over all gates: each is an item that is changed only as it was read.

Times are the wall clock's, which gates share. A call under way that never ends, as its gate died, is forgotten after
`_LONGEST`.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence

from tollkeeper.core.errors import GateError
from tollkeeper.core.gcra import UNKNOWN, Allowance, Standing, melted, standing
from tollkeeper.core.ids import Clock
from tollkeeper.stores.dynamodb.table import Cancelled, Item, Table

_LIMITS = "limit"
_LONGEST = 15 * 60
"""Seconds that a Lambda can run (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""
_TRIES = 30
"""Each loss of a race means that another call has won it."""


class _Counter:
    """One limit's, as it was read and as it is to be written."""

    def __init__(self, allowance: Allowance, item: Item | None, now: int) -> None:
        self.allowance = allowance
        self.seen = None if item is None else int(item["n"])
        self._now = now
        self.owed = 0
        self.holders: dict[str, tuple[int, int]] = {}
        """Who has calls under way: name -> until when at most (Unix microseconds), and how many."""
        if item is not None and allowance.span:
            self.owed = melted(int(item["owed"]), now - int(item["at"]), int(item["amount"]))
        elif item is not None:
            held = json.loads(str(item["d"]))
            self.holders = {name: (until, units) for name, (until, units) in held.items() if until > now}

    def standing(self, cost: int) -> Standing:
        if self.allowance.span:
            return standing(self.owed, cost, self.allowance)
        left = self.allowance.amount - sum(units for _, units in self.holders.values())
        return (max(left, 0), 0, UNKNOWN) if left < cost else (max(left - cost, 0), 0, 0)

    def add(self, units: int, holder: str) -> None:
        if self.allowance.span:
            self.owed = max(0, self.owed + units * self.allowance.span)
        else:
            units += self.holders.pop(holder, (0, 0))[1]
            if units > 0:
                self.holders[holder] = self._now + _LONGEST * 1_000_000, units

    def item(self) -> Item:
        allowance, now = self.allowance, self._now
        item: Item = {"pk": _LIMITS, "sk": allowance.id, "n": (self.seen or 0) + 1}
        if not allowance.span:
            return {**item, "d": json.dumps(self.holders), "ttl": now // 1_000_000 + 2 * _LONGEST}
        paid_off = now + self.owed // allowance.amount
        return {**item, "owed": self.owed, "at": now, "amount": allowance.amount, "ttl": paid_off // 1_000_000 + 60}


class DynamoLimiter:
    """See `core.ports.Limiter`. `now` is Unix seconds, `draw` between 0 and 1."""

    def __init__(self, table: Table, now: Clock, draw: Callable[[], float]) -> None:
        self._table = table
        self._now = now
        self._draw = draw
        self._adjusting: set[asyncio.Task[None]] = set()

    async def take(self, allowances: Sequence[Allowance], costs: Sequence[int], holder: str) -> list[Standing]:
        """Raises GateError where the table cannot be asked."""
        found: list[Standing] = []

        def change(counters: Sequence[_Counter]) -> list[_Counter]:
            found[:] = [counter.standing(cost) for counter, cost in zip(counters, costs, strict=True)]
            if any(wait for _, _, wait in found):
                found[:] = _untaken(counters, found)
                return []
            changed = [(counter, cost) for counter, cost in zip(counters, costs, strict=True) if cost]
            for counter, cost in changed:
                counter.add(cost, holder)
            return [counter for counter, _ in changed]

        await self._change(allowances, change)
        return found

    async def look(self, allowances: Sequence[Allowance], costs: Sequence[int]) -> list[Standing]:
        """Raises GateError."""
        counters = await self._read(allowances)
        found = [counter.standing(cost) for counter, cost in zip(counters, costs, strict=True)]
        return _untaken(counters, found) if any(wait for _, _, wait in found) else found

    def adjust(self, allowances: Sequence[Allowance], deltas: Sequence[int], holder: str) -> None:
        def change(counters: Sequence[_Counter]) -> list[_Counter]:
            changed = [(counter, delta) for counter, delta in zip(counters, deltas, strict=True) if delta]
            for counter, delta in changed:
                counter.add(delta, holder)
            return [counter for counter, _ in changed]

        if any(deltas):
            task = asyncio.get_running_loop().create_task(_quietly(self._change(allowances, change)))
            self._adjusting.add(task)
            task.add_done_callback(self._adjusting.discard)

    async def settled(self, seconds: float) -> None:
        """Returns when what was adjusted is in the table, or `seconds` are over."""
        if self._adjusting:
            await asyncio.wait(self._adjusting, timeout=seconds)

    async def _change(
        self, allowances: Sequence[Allowance], change: Callable[[Sequence[_Counter]], list[_Counter]]
    ) -> None:
        """Reads, changes and writes all or nothing, again where another was quicker. Raises GateError."""
        for tried in range(_TRIES):
            changed = change(await self._read(allowances))
            if not changed:
                return
            parts = [self._table.replace_part(counter.item(), seen=counter.seen) for counter in changed]
            try:
                await self._table.transact(parts, f"{self._draw():.17f}"[2:])
                return
            except Cancelled:
                await asyncio.sleep(0.005 * self._draw() * min(tried + 1, 10))
        raise GateError("The counters of limits are changed by too many at once.", code="store_unavailable")

    async def _read(self, allowances: Sequence[Allowance]) -> list[_Counter]:
        now = int(self._now() * 1_000_000)
        return [_Counter(each, await self._table.get(_LIMITS, each.id), now) for each in allowances]


def _untaken(counters: Sequence[_Counter], found: Sequence[Standing]) -> list[Standing]:
    """The standings of what would have been taken, as nothing was."""
    return [one if one[2] else counter.standing(0) for counter, one in zip(counters, found, strict=True)]


async def _quietly(change: Coroutine[object, object, None]) -> None:
    """A counter that cannot be given back now melts by itself, or is forgotten: no call waits for that."""
    try:
        await change
    except GateError:
        return
