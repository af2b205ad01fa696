"""What a key's calls for a model have really cost lately: a high percentile of the last ones."""

from bisect import insort
from collections import deque

from tollkeeper.core.budget import Unit

_KEPT = 128
_FEWEST = 8
"""Calls before there is anything to go by."""
_OF_TWENTY = 19
"""The 95th percentile."""
_MOST = 20_000


class _Costs:
    """The last costs, in order of time and in order of size."""

    __slots__ = ("_by_size", "_by_time")

    def __init__(self) -> None:
        self._by_time: deque[int] = deque()
        self._by_size: list[int] = []

    def add(self, cost: int) -> None:
        if len(self._by_time) == _KEPT:
            self._by_size.remove(self._by_time.popleft())
        self._by_time.append(cost)
        insort(self._by_size, cost)

    def high(self) -> int | None:
        count = len(self._by_size)
        return None if count < _FEWEST else self._by_size[min(count - 1, count * _OF_TWENTY // 20)]


class History:
    """By key and model, the ones that were not heard of for longest forgotten first. Begins anew with the process."""

    def __init__(self) -> None:
        self._costs: dict[tuple[str, str, Unit], _Costs] = {}

    def add(self, key_id: str, model: str, unit: Unit, cost: int) -> None:
        """A call has cost this much."""
        name = (key_id, model, unit)
        costs = self._costs.pop(name, None)
        if costs is None:
            if len(self._costs) >= _MOST:
                del self._costs[next(iter(self._costs))]
            costs = _Costs()
        self._costs[name] = costs
        costs.add(cost)

    def high(self, key_id: str, model: str, unit: Unit) -> int | None:
        """The 95th percentile of the last 128 costs; None while there are fewer than eight."""
        costs = self._costs.get((key_id, model, unit))
        return None if costs is None else costs.high()
