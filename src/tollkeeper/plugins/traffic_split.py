"""traffic-split: sends shares of a route's requests to other upstreams."""

from collections.abc import Iterable
from typing import Any, ClassVar

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.expressions import BadExpression, Predicate, compiled
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.resource_schemas import ID, UPSTREAM


class TrafficSplit(Plugin):
    """The first rule that matches decides; its shares are exact over each cycle of weights."""

    priority = 966
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "match": {
                            "type": "array",
                            "items": {"type": "object", "properties": {"vars": {"type": "array"}}},
                        },
                        "weighted_upstreams": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 20,
                            "default": [{"weight": 1}],
                            "items": {
                                "type": "object",
                                "properties": {
                                    "upstream_id": ID,
                                    "upstream": UPSTREAM,
                                    "weight": {"type": "integer", "minimum": 0, "default": 1},
                                },
                            },
                        },
                    },
                    "additionalProperties": False,
                },
            }
        },
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for rule in conf.get("rules", ()):
            for match in rule.get("match", ()):
                try:
                    compiled(match.get("vars", []))
                except BadExpression as error:
                    raise ValueError(f"failed to validate the 'vars' expression: {error}") from None

    @classmethod
    def upstreams(cls, conf: Conf) -> Iterable[Conf]:
        for rule in conf.get("rules", ()):
            for share in rule.get("weighted_upstreams", ()):
                if "upstream" in share:
                    yield share["upstream"]

    def prepare(self) -> None:
        self._rules = [
            (
                [compiled(match.get("vars", []), self.gate.patterns) for match in rule.get("match", ())],
                _Turns(rule.get("weighted_upstreams") or [{"weight": 1}]),
            )
            for rule in self.conf.get("rules", ())
        ]

    def access(self, exchange: Exchange) -> Response | None:
        for matches, turns in self._rules:
            if not _matched(matches, exchange):
                continue
            share = turns.next()
            if share is None:
                return None
            wanted = share.get("upstream_id", share.get("upstream"))
            if wanted is None:
                return None
            exchange.upstream = self.gate.upstream(wanted)
            if exchange.upstream is None:
                return Response.json(500, {"error_msg": f"failed to find upstream by id: {wanted}"})
            return None
        return None


class _Turns:
    """Smooth weighted round robin, as nginx has it: each gains its weight, the richest goes and pays the sum."""

    def __init__(self, shares: list[dict[str, Any]]) -> None:
        self._shares = [share for share in shares if share.get("weight", 1) > 0]
        self._sum = sum(share.get("weight", 1) for share in self._shares)
        self._standing = [0] * len(self._shares)

    def next(self) -> dict[str, Any] | None:
        """The next share; None where all weights are 0."""
        if not self._shares:
            return None
        standing = self._standing
        for at, share in enumerate(self._shares):
            standing[at] += share.get("weight", 1)
        best = max(range(len(standing)), key=standing.__getitem__)
        standing[best] -= self._sum
        return self._shares[best]


def _matched(matches: list[Predicate], exchange: Exchange) -> bool:
    return not matches or any(holds(exchange) for holds in matches)
