"""The counters of rate limits in this process's memory: exact, since nothing else runs between a look and a take.

What is paid off is forgotten, so memory follows the limits in use, not those ever used: each new counter looks at the two
oldest, so no call ever waits for a sweep.
"""

from collections import OrderedDict
from collections.abc import Sequence

from tollkeeper.core.gcra import UNKNOWN, Allowance, Standing, melted, standing
from tollkeeper.core.ids import Clock

_LOOKED_AT = 2


class MemoryLimiter:
    """See `core.ports.Limiter`. Times are those of a monotonic clock: no jump of the wall clock touches a limit."""

    def __init__(self, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._owed: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        """id -> what was owed, when (microseconds), the amount by which it melts."""
        self._under_way: dict[str, int] = {}

    def __len__(self) -> int:
        """How many counters are kept."""
        return len(self._owed) + len(self._under_way)

    async def take(self, allowances: Sequence[Allowance], costs: Sequence[int], holder: str) -> list[Standing]:
        now = int(self._monotonic() * 1_000_000)
        used, found = self._weighed(allowances, costs, now)
        for _, _, wait in found:
            if wait:
                return _untaken(allowances, used, found)
        counters = self._owed
        for allowance, cost, before in zip(allowances, costs, used, strict=True):
            name = allowance.id
            if not allowance.span:
                self._under_way[name] = before + cost
            elif cost:
                if name not in counters:
                    self._forget(now)
                counters[name] = (before + cost * allowance.span, now, allowance.amount)
        return found

    async def look(self, allowances: Sequence[Allowance], costs: Sequence[int]) -> list[Standing]:
        used, found = self._weighed(allowances, costs, int(self._monotonic() * 1_000_000))
        return _untaken(allowances, used, found) if any(wait for _, _, wait in found) else found

    def adjust(self, allowances: Sequence[Allowance], deltas: Sequence[int], holder: str) -> None:
        now = int(self._monotonic() * 1_000_000)
        for allowance, delta in zip(allowances, deltas, strict=True):
            if delta:
                self._add(allowance, delta, now)

    def _weighed(
        self, allowances: Sequence[Allowance], costs: Sequence[int], now: int
    ) -> tuple[list[int], list[Standing]]:
        """What is owed of each now, or how many calls are under way; and how each cost fares."""
        counters = self._owed
        used: list[int] = []
        found: list[Standing] = []
        for allowance, cost in zip(allowances, costs, strict=True):
            if allowance.span:
                counter = counters.get(allowance.id)
                before = 0 if counter is None else melted(counter[0], now - counter[1], allowance.amount)
                found.append(standing(before, cost, allowance))
            else:
                before = self._under_way.get(allowance.id, 0)
                found.append(_place(before, cost, allowance))
            used.append(before)
        return used, found

    def _add(self, allowance: Allowance, units: int, now: int) -> None:
        name = allowance.id
        if not allowance.span:
            held = self._under_way.get(name, 0) + units
            if held > 0:
                self._under_way[name] = held
            else:
                self._under_way.pop(name, None)
            return
        amount = allowance.amount
        counter = self._owed.get(name)
        if counter is None:
            if units > 0:
                self._forget(now)
                self._owed[name] = (units * allowance.span, now, amount)
            return
        owed = melted(counter[0], now - counter[1], amount) + units * allowance.span
        self._owed[name] = (owed if owed > 0 else 0, now, amount)

    def _forget(self, now: int) -> None:
        """Drops the oldest counters where all is paid off; those in use go to the end, so that others get their look."""
        counters = self._owed
        for _ in range(min(_LOOKED_AT, len(counters))):
            name, (owed, since, amount) = counters.popitem(last=False)
            if melted(owed, now - since, amount):
                counters[name] = (owed, since, amount)


def _place(under_way: int, cost: int, allowance: Allowance) -> Standing:
    left = allowance.amount - under_way
    return (max(left, 0), 0, UNKNOWN) if left < cost else (max(left - cost, 0), 0, 0)


def _untaken(allowances: Sequence[Allowance], used: Sequence[int], found: Sequence[Standing]) -> list[Standing]:
    """The standings of what would have been taken, as nothing was."""
    return [
        one if one[2] else standing(before, 0, allowance) if allowance.span else _place(before, 0, allowance)
        for allowance, before, one in zip(allowances, used, found, strict=True)
    ]
