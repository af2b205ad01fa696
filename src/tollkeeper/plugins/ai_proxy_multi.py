"""ai-proxy-multi: one of several models answers the route, by weight, hash, order or meaning, another where it fails."""

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from tollkeeper.core.account import Fallback
from tollkeeper.routes import model_instances, semantic_balancing
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.model_balancing import Balancer
from tollkeeper.routes.model_work import MOST_BODY, Choice, Work
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.resource_schemas import ACTIVE_CHECKS
from tollkeeper.routes.semantic_balancing import SemanticBalancer

_ANSWERED = {"http_429", "http_5xx"}
_CAUSES = ["rate_limiting", *sorted(_ANSWERED)]


class AiProxyMulti(Plugin):
    """Instances of the highest priority first. Who is asked after a failure says `fallback_strategy`, else `[retry]`."""

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
                        "priority": {"type": "integer", "default": 0},
                        "weight": {"type": "integer", "minimum": 0},
                        "checks": {
                            "type": "object",
                            "properties": {"active": ACTIVE_CHECKS},
                            "required": ["active"],
                            "additionalProperties": False,
                        },
                        **semantic_balancing.FIELDS,
                        **model_instances.FIELDS,
                    },
                    "required": ["name", "provider", "auth", "weight"],
                    "additionalProperties": False,
                },
            },
            "balancer": {
                "type": "object",
                "properties": {
                    "algorithm": {
                        "type": "string",
                        "enum": ["roundrobin", "chash", "semantic"],
                        "default": "roundrobin",
                    },
                    "hash_on": {
                        "type": "string",
                        "enum": ["vars", "header", "cookie", "consumer", "vars_combinations"],
                        "default": "vars",
                    },
                    "key": {"type": "string", "minLength": 1},
                },
                "additionalProperties": False,
            },
            "semantic_opts": semantic_balancing.OPTIONS,
            "fallback_strategy": {
                "anyOf": [
                    {"type": "string", "enum": ["instance_health_and_rate_limiting", *_CAUSES[1:]]},
                    {"type": "array", "minItems": 1, "items": {"type": "string", "enum": _CAUSES}},
                ]
            },
            "max_retries": {"type": "integer", "minimum": 0},
            "retry_on_failure_within_ms": {"type": "integer", "minimum": 1},
            "timeout": model_instances.TIMEOUT,
            "max_stream_duration_ms": model_instances.LONGEST_STREAM,
            "max_req_body_size": MOST_BODY,
            "ssl_verify": model_instances.VERIFIED,
            **model_instances.TUNING,
        },
        "required": ["instances"],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        names = set()
        for instance in conf["instances"]:
            model_instances.check(instance)
            if instance["name"] in names:
                raise ValueError(f"there are two instances named {instance['name']}")
            names.add(instance["name"])
        if not any(instance["weight"] for instance in conf["instances"]):
            raise ValueError("every instance has the weight 0")
        balancer = conf.get("balancer", {})
        if balancer.get("algorithm") == "chash" and balancer.get("hash_on") != "consumer" and "key" not in balancer:
            raise ValueError("balancer.key is required for chash unless hash_on is consumer")
        if balancer.get("algorithm") == "semantic":
            semantic_balancing.check(conf)
        for name in ("max_retries", "retry_on_failure_within_ms"):
            if name in conf and "fallback_strategy" not in conf:
                raise ValueError(f"{name} needs a fallback_strategy")

    def prepare(self) -> None:
        usable: list[dict[str, Any]] = [each for each in self.conf["instances"] if each["weight"]]
        given = self.conf.get("fallback_strategy")
        causes: set[Any] = {given.removeprefix("instance_health_and_")} if isinstance(given, str) else set(given or ())
        self._past_limits = "rate_limiting" in causes
        fallback = None
        if given is not None:
            retries, within = self.conf.get("max_retries"), self.conf.get("retry_on_failure_within_ms")
            fallback = Fallback(
                after=frozenset(causes & _ANSWERED),
                attempts=None if retries is None else retries + 1,
                within=None if within is None else within / 1000,
            )
        by_name = {each["name"]: each for each in usable}
        balancer = self.conf.get("balancer", {})
        self._balancer: Balancer | SemanticBalancer
        if balancer.get("algorithm") == "semantic":
            self._balancer = SemanticBalancer(
                usable,
                self.conf["semantic_opts"],
                self.gate,
                most_body=self.conf["max_req_body_size"],
                others=given is not None,
            )
        else:
            self._balancer = Balancer(usable, balancer, self.gate.watch, self.gate.random, self.gate.monotonic)
        self._work = Work(self.gate, self.conf, by_name, fallback)

    def access(self, exchange: Exchange) -> None:
        balancer, past_limits = self._balancer, self._past_limits
        if isinstance(balancer, SemanticBalancer):
            decide = partial(balancer.order, exchange)
            exchange.notes[Choice] = Choice(balancer.names, past_limits=past_limits, decide=decide)
        else:
            exchange.notes[Choice] = Choice(balancer.order(exchange), past_limits=past_limits)
        # Answered after the rest of this phase: limits and restrictions of a lower priority come first.
        exchange.serve = self._work.serve

    def header_filter(self, exchange: Exchange) -> None:
        if exchange.response is not None:
            for name, value in SemanticBalancer.told(exchange):
                exchange.response.headers.set(name, value)
