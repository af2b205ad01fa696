"""A histogram that costs a lookup and two additions for each number."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import repeat


class Histogram:
    """Counts by bucket for one set of labels."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: Sequence[float]) -> None:
        counts = self.counts
        for bucket in map(bisect_left, repeat(self.bounds), values):
            counts[bucket] += 1
        self.total += sum(values)

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, numbers up to it), the last bound being `+Inf`."""
        running = 0
        buckets = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(running)))
        return buckets
