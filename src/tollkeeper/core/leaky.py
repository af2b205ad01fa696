"""A leaky bucket that smooths requests: what comes too fast waits its turn, what comes far too fast is refused. Pure.

Counts as nginx's limit_req does: the excess drains at `rate` a second, each request adds one, up to `burst` of it may wait.
"""

from collections import OrderedDict

from tollkeeper.core.counters import MOST_KEYS


class LeakyBuckets:
    """Buckets by key, all with one rate and burst."""

    def __init__(self, rate: float, burst: float, most: int = MOST_KEYS) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float | None:
        """Seconds that this request has to wait, 0.0 where none; None: it is refused and has taken nothing."""
        known = self._buckets.get(key)
        excess = 0.0 if known is None else max(known[0] - self._rate * max(now - known[1], 0.0) + 1.0, 0.0)
        if excess > self._burst:
            return None
        self._buckets[key] = (excess, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return excess / self._rate
