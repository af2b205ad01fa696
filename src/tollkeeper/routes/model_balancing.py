"""In which order a plugin's instances of models are asked: by priority, then by weight or hash; those that are well."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.model_instances import place
from tollkeeper.routes.upstreams import Upstream

Watch = Callable[[Upstream], None]
"""Begins an upstream's active checks."""


class Checks:
    """The active checks of instances that have any; they run from the first request on."""

    def __init__(
        self, instances: Sequence[Mapping[str, Any]], watch: Watch, random: Random, monotonic: Callable[[], float]
    ) -> None:
        self._watch = watch
        self._count = len(instances)
        self._checked = [
            (each["name"], Upstream(f"instance {each['name']}", _checked(each), random, monotonic))
            for each in instances
            if "checks" in each
        ]

    def ill(self) -> Sequence[str]:
        """Names of those that are ill; none where no other is well."""
        for _, upstream in self._checked:
            self._watch(upstream)
        ill = [name for name, upstream in self._checked if not upstream.nodes[0].healthy]
        return ill if len(ill) < self._count else ()


class Balancer:
    """Chooses as upstreams choose their nodes."""

    def __init__(
        self,
        instances: Sequence[Mapping[str, Any]],
        conf: Mapping[str, Any],
        watch: Watch,
        random: Random,
        monotonic: Callable[[], float],
    ) -> None:
        nodes = [
            {"host": each["name"], "port": 1, "weight": each["weight"], "priority": each.get("priority", 0)}
            for each in instances
        ]
        kind, hash_on = conf.get("algorithm", "roundrobin"), conf.get("hash_on", "vars")
        how = {"type": kind, "hash_on": hash_on, "key": conf.get("key", ""), "nodes": nodes}
        self._chooser = Upstream("instances", how, random, monotonic)
        self._names = {node: each["name"] for node, each in zip(self._chooser.nodes, instances, strict=True)}
        self._ranked = sorted(self._chooser.nodes, key=lambda node: (-node.priority, -node.weight))
        self._checks = Checks(instances, watch, random, monotonic)

    def order(self, exchange: Exchange) -> list[str]:
        """Names, the best first, without those that are ill; all of them where none is well."""
        named = self._checks.ill()
        ill = [node for node, name in self._names.items() if name in named]
        first = self._chooser.choose(exchange, ill)
        assert first is not None
        rest = [node for node in self._ranked if node is not first and node not in ill]
        return [self._names[node] for node in (first, *rest)]


def _checked(instance: Mapping[str, Any]) -> Mapping[str, Any]:
    """An upstream of one node: where the instance is."""
    scheme, host, port = place(instance)
    checks = {"active": {"type": scheme, **instance["checks"]["active"]}}
    return {"scheme": scheme, "nodes": [{"host": host, "port": port, "weight": 1}], "checks": checks}
