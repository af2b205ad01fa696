"""Rows that wait for their next try: for how long, and which comes first.

Each wait is full jitter: anything between nothing and a bound that doubles with every try. When no other row is left to
ask, none waits long where a third of the latest tries went well: it had bad luck.
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import heapq
import math
from collections import deque
from collections.abc import Callable

from tollkeeper.bulk.tries import Limits, Try
from tollkeeper.core.ids import Clock

_FARES_LOOK = 100
"""Tries that tell how the provider fares."""


class Waiting:
    """Of one job. Its length: how many rows there are."""

    def __init__(self, limits: Limits, monotonic: Clock, uniform: Callable[[float, float], float]) -> None:
        self.due_at = math.inf
        """When the first of them is due; never, where none waits for a time."""
        self.crowded = False
        """Whether there are so many that no new row should be asked."""
        self.fares: deque[bool] = deque(maxlen=_FARES_LOOK)
        """Whether the latest tries went well."""
        self._limits = limits
        self._monotonic = monotonic
        self._uniform = uniform
        self._most = max(1000, 4 * limits.concurrency)
        self._later: list[tuple[float, int, Try]] = []
        self._aside: deque[Try] = deque()
        self._last = False

    def __len__(self) -> int:
        return len(self._later) + len(self._aside)

    def put(self, row: Try, now: float, tries: int, retry_after: float | None = None, most: float = math.inf) -> None:
        """It waits for its next try: longer after more `tries`, `most` seconds at most, not less than `retry_after`."""
        limits = self._limits
        seconds = min(most, self._uniform(0.0, min(limits.cap, limits.base * 2.0 ** min(tries, 30))))
        row.not_before = now + (retry_after or 0.0)
        if self._last and seconds > limits.last_cap and self._fares_well():
            seconds = self._uniform(0.0, limits.last_cap)
        heapq.heappush(self._later, (max(row.not_before, now + seconds), row.request.index, row))
        self._changed()

    def take(self) -> Try:
        """The first of those that wait for a time."""
        row = heapq.heappop(self._later)[2]
        self._changed()
        return row

    def put_aside(self, row: Try) -> None:
        """It comes after all others, once, and has its patience anew."""
        row.parked, row.first_at = True, None
        self._aside.append(row)
        self._changed()

    def take_aside(self) -> Try | None:
        """The first that was put aside."""
        if not self._aside:
            return None
        row = self._aside.popleft()
        self._changed()
        return row

    def bring_forward(self) -> None:
        """The last row has been drawn: those that wait for a time when others failed, too, need not any more."""
        self._last = True
        if not self._fares_well():
            return
        soon = self._monotonic()
        self._later = [
            (max(row.not_before, min(at, soon + self._uniform(0.0, self._limits.last_cap))), index, row)
            for at, index, row in self._later
        ]
        heapq.heapify(self._later)
        self._changed()

    def _fares_well(self) -> bool:
        return sum(self.fares) * 3 >= len(self.fares)

    def _changed(self) -> None:
        self.due_at = self._later[0][0] if self._later else math.inf
        self.crowded = len(self) >= self._most
