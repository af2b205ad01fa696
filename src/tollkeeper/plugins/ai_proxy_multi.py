"""ai-proxy-multi: the route is answered by one of several models, by weight or in order, the next where one fails."""

from collections.abc import Iterable
from typing import Any, ClassVar

from tollkeeper.core.account import Balancing
from tollkeeper.routes import model_work
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin


class AiProxyMulti(Plugin):
    """Of the instances with the highest priority, by weight. Where one fails, the gate's own rules for retries apply."""

    priority = 1041
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "instances": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 100},
                        "provider": model_work.PROVIDER,
                        "priority": {"type": "integer", "default": 0},
                        "weight": {"type": "integer", "minimum": 0},
                        "auth": model_work.AUTH,
                        "options": model_work.OPTIONS,
                        "override": model_work.OVERRIDE,
                    },
                    "required": ["name", "provider", "auth", "weight"],
                    "additionalProperties": False,
                },
            },
            "balancer": {
                "type": "object",
                "properties": {"algorithm": {"type": "string", "enum": ["roundrobin"], "default": "roundrobin"}},
                "additionalProperties": False,
            },
            "timeout": model_work.TIMEOUT,
            "max_req_body_size": model_work.MOST_BODY,
        },
        "required": ["instances"],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        names = set()
        for instance in conf["instances"]:
            model_work.check(instance)
            if instance["name"] in names:
                raise ValueError(f"there are two instances named {instance['name']}")
            names.add(instance["name"])
        if not any(instance["weight"] for instance in conf["instances"]):
            raise ValueError("every instance has the weight 0")

    def prepare(self) -> None:
        usable: list[dict[str, Any]] = [each for each in self.conf["instances"] if each["weight"]]
        usable.sort(key=lambda each: -int(each.get("priority", 0)))
        tiers = len({each.get("priority", 0) for each in usable})
        targets = [model_work.target(each["name"], each, self.conf["timeout"]) for each in usable]
        # With several priorities the order decides; with one, the weights.
        destination = model_work.destination(targets, Balancing(strategy="ordered" if tiers > 1 else "weighted"))
        self._work = model_work.Work(destination, usable, self.conf["max_req_body_size"])

    def access(self, exchange: Exchange) -> None:
        # Answered after the rest of this phase: limits and restrictions of a lower priority come first.
        exchange.serve = self._work.served_by(self.gate.handle)
