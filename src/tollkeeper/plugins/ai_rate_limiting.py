"""ai-rate-limiting: so many tokens in a window of time, on routes that models answer."""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import msgspec

from tollkeeper.core.call import Call
from tollkeeper.core.counters import Windows
from tollkeeper.core.events import Event
from tollkeeper.routes import cost_expressions, redis_policy
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import as_name
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.limit_keys import NUMBER, REJECTION, RULES, names_any, number_of, rejected
from tollkeeper.routes.model_work import ON_END, Choice
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.redis_client import RedisError
from tollkeeper.routes.shared_windows import SharedWindows
from tollkeeper.routes.variables import filled

_BEYOND = 2**53
"""A limit that no count reaches: what was used is counted whatever the limit says."""


class _Limit(NamedTuple):
    """One that a request meets: which counter, how much of it, in how many seconds, and what follows X- in its headers."""

    key: str
    most: int
    window: float
    headers: str


class AiRateLimiting(Plugin):
    """Looked at before a call, charged after its answer: a burst of calls can overshoot by what they take.

    An instance of ai-proxy-multi with a limit of its own has that, every other one a share in the common one.
    """

    priority = 1030
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "limit": NUMBER,
            "time_window": NUMBER,
            "show_limit_quota_header": {"type": "boolean", "default": True},
            "limit_strategy": {
                "type": "string",
                "enum": ["total_tokens", "prompt_tokens", "completion_tokens", "expression"],
                "default": "total_tokens",
            },
            "cost_expr": {"type": "string", "minLength": 1},
            "instances": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "limit": NUMBER, "time_window": NUMBER},
                    "required": ["name", "limit", "time_window"],
                },
            },
            "rules": RULES,
            **REJECTION,
            **redis_policy.FIELDS,
            "allow_degradation": {"type": "boolean", "default": False},
        },
        "dependencies": {"limit": ["time_window"], "time_window": ["limit"]},
        "oneOf": [
            {"anyOf": [{"required": ["limit", "time_window"]}, {"required": ["instances"]}]},
            {"required": ["rules"]},
        ],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        redis_policy.check(conf)
        names = [each["name"] for each in conf.get("instances", ())]
        if len(names) != len(set(names)):
            raise ValueError("there are two limits for one instance")
        if conf["limit_strategy"] == "expression":
            if "cost_expr" not in conf:
                raise ValueError("cost_expr is required when limit_strategy is 'expression'")
            cost_expressions.compiled(conf["cost_expr"])

    def prepare(self) -> None:
        self._windows = Windows(most=self.gate.room.counters)
        redis = redis_policy.redis_of(self.conf, self.gate.shared, self.gate.resolve, self.gate.monotonic)
        self._shared = None if redis is None else SharedWindows(redis)
        self._charging: set[asyncio.Task[None]] = set()
        self._own: dict[str, Mapping[str, Any]] = {each["name"]: each for each in self.conf.get("instances", ())}
        strategy = self.conf["limit_strategy"]
        self._cost = cost_expressions.compiled(self.conf["cost_expr"]) if strategy == "expression" else None

    async def access(self, exchange: Exchange) -> Response | None:
        choice: Choice | None = exchange.notes.get(Choice)
        if choice is None:
            return None
        await choice.made()
        try:
            return await self._looked(exchange, choice)
        except RedisError as error:
            self.gate.say("ai_rate_limiting_failed", reason=error.message)
            return None if self.conf["allow_degradation"] else Response(500)

    async def _looked(self, exchange: Exchange, choice: Choice) -> Response | None:
        if "rules" in self.conf:
            limits = self._rules(exchange)
            charged = dict.fromkeys(choice.names, limits)
        else:
            charged = {name: self._of(choice.called(name), exchange) for name in choice.names}
            if choice.past_limits:
                left = [name for name in choice.names if not await self._over(charged[name])]
                choice.names = left or choice.names
            limits = charged[choice.names[0]]
        over = False
        told: list[tuple[bytes, bytes]] = []
        for each in limits:
            left_over, reset = await self._look(each)
            over = over or left_over <= 0
            told += _headers(each, left_over, reset)
        if self.conf["show_limit_quota_header"]:
            exchange.notes[self] = told
        if over:
            return rejected(self.conf)
        exchange.notes.setdefault(ON_END, []).append(partial(self._charge, charged))
        return None

    def header_filter(self, exchange: Exchange) -> None:
        if exchange.response is not None:
            for name, value in exchange.notes.get(self, ()):
                exchange.response.headers.set(name, value)

    def _of(self, name: str, exchange: Exchange) -> Sequence[_Limit]:
        """What holds for one instance: nothing, where its numbers are none."""
        own = self._own.get(name)
        conf = self.conf if own is None else own
        if "limit" not in conf:
            return ()
        count, window = number_of(conf["limit"], exchange), number_of(conf["time_window"], exchange)
        if count is None or window is None:
            return ()
        return (_Limit("" if own is None else f"instance {name}", int(count), window, f"AI-RateLimit-{{}}-{name}"),)

    def _rules(self, exchange: Exchange) -> Sequence[_Limit]:
        found = []
        for place, rule in enumerate(self.conf["rules"], 1):
            count, window = number_of(rule["count"], exchange), number_of(rule["time_window"], exchange)
            if count is None or window is None or ("$" in rule["key"] and not names_any(rule["key"], exchange)):
                continue
            headers = f"{rule.get('header_prefix', place)}-AI-RateLimit-{{}}"
            found.append(_Limit(f"{place}:{filled(rule['key'], exchange)}", int(count), window, headers))
        return found

    async def _over(self, limits: Sequence[_Limit]) -> bool:
        return any([(await self._look(each))[0] <= 0 for each in limits])

    async def _look(self, limit: _Limit) -> tuple[int, float]:
        """How much is left, and seconds until there is more. Raises RedisError."""
        if self._shared is None:
            return self._windows.look(limit.key, limit.most, limit.window, self.gate.monotonic())
        return (await self._shared.take(self._common(limit), limit.most, limit.window, 0))[1:]

    def _common(self, limit: _Limit) -> str:
        return ":".join(("ai-rate-limiting", *self.owner, limit.key))

    def _charge(self, charged: Mapping[str, Sequence[_Limit]], call: Call) -> None:
        now = self.gate.monotonic()
        for event in call.events:
            tokens = self._tokens(event)
            for each in charged.get(event.provider, ()):
                if self._shared is None:
                    self._windows.add(each.key, each.window, now, tokens)
                elif tokens:
                    task = asyncio.get_running_loop().create_task(self._add(self._shared, each, tokens))
                    self._charging.add(task)
                    task.add_done_callback(self._charging.discard)

    async def _add(self, shared: SharedWindows, limit: _Limit, tokens: int) -> None:
        try:
            await shared.take(self._common(limit), _BEYOND, limit.window, tokens)
        except RedisError as error:
            self.gate.say("ai_rate_limiting_failed", reason=error.message, tokens=tokens)

    def _tokens(self, event: Event) -> int:
        usage = event.usage
        if self._cost is not None:
            try:
                raw = msgspec.json.decode(event.usage_raw or "{}")
                return math.floor(self._cost(raw if isinstance(raw, dict) else {}) + 0.5)
            except (msgspec.DecodeError, ValueError) as error:
                self.gate.say("ai_rate_limiting_failed", reason=str(error))
                return 0
        kinds = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
        return int(kinds[self.conf["limit_strategy"]])


def _headers(limit: _Limit, left: int, reset: float) -> Iterable[tuple[bytes, bytes]]:
    for what, value in (("Limit", limit.most), ("Remaining", max(left, 0)), ("Reset", math.ceil(reset))):
        yield as_name(f"x-{limit.headers.replace('{}', what)}"), b"%d" % value
