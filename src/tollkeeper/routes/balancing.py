"""Which node gets the next request: round robin by weight, least connections, latency, or a hash. Pure."""

from bisect import bisect
from collections.abc import Callable, Sequence
from hashlib import md5
from random import Random

from tollkeeper.routes.nodes import Node

Pick = Callable[[Sequence[Node], str], Node]
"""(nodes that may be chosen, never none; the value that is hashed) -> one of them."""
_POINTS = 160
"""On the ring for the lightest node, and for others by their weight, as in Ketama."""
_MOST_POINTS = 1 << 16
"""On a ring: more take long to make, and hold everybody up meanwhile. Beyond, each node has its share of so many."""


def round_robin(nodes: Sequence[Node], _: str) -> Node:
    """Smooth and exact: over a cycle each node gets its weight's share, spread out (nginx's algorithm)."""
    if len(nodes) == 1:
        return nodes[0]
    total = 0
    best: Node | None = None
    for node in nodes:
        node.current += node.weight
        total += node.weight
        if best is None or node.current > best.current:
            best = node
    assert best is not None
    best.current -= total
    return best


def least_connections(nodes: Sequence[Node], _: str) -> Node:
    """The one with the fewest requests under way for its weight; among equals, in turn."""
    least = min((node.active + 1) / node.weight for node in nodes)
    return round_robin([node for node in nodes if (node.active + 1) / node.weight == least], _)


def by_latency(random: Random, now: Callable[[], float]) -> Pick:
    """The quicker of two drawn at random (APISIX's ewma)."""

    def pick(nodes: Sequence[Node], _: str) -> Node:
        if len(nodes) == 1:
            return nodes[0]
        at = now()
        return min(random.sample(list(nodes), 2), key=lambda node: node.latency(at) * (node.active + 1))

    return pick


class Ring:
    """Consistent hashing: a value stays with its node while that is there, and only its values move when it is not."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        lightest = min((node.weight for node in nodes if node.weight), default=1)
        counts = [_POINTS * node.weight // lightest for node in nodes]
        total = sum(counts)
        if total > _MOST_POINTS:
            counts = [max(count * _MOST_POINTS // total, min(count, 1)) for count in counts]
        points = []
        for node, most in zip(nodes, counts, strict=True):
            for count in range(most):
                points.append((_hash(f"{node.name}-{count}"), node.name))
        points.sort()
        self._hashes = [at for at, _ in points]
        self._names = [name for _, name in points]

    def pick(self, nodes: Sequence[Node], value: str) -> Node:
        by_name = {node.name: node for node in nodes}
        at = bisect(self._hashes, _hash(value))
        for step in range(len(self._names)):
            found = by_name.get(self._names[(at + step) % len(self._names)])
            if found is not None:
                return found
        return nodes[0]


def _hash(value: str) -> int:
    return int.from_bytes(md5(value.encode("utf-8", "replace"), usedforsecurity=False).digest()[:8], "big")
