"""ai-rate-limiting: so many tokens in a window of time, on routes that models answer."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from tollkeeper.core.call import Call
from tollkeeper.core.counters import Windows
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.limit_keys import rejected
from tollkeeper.routes.model_work import ON_END
from tollkeeper.routes.plugin import Conf, Plugin

_LIMIT: Schema = {"type": "integer", "minimum": 1}
_NAME = "ai-proxy"


class AiRateLimiting(Plugin):
    """Looked at before a call, charged after its answer: a burst of calls can overshoot by what they take."""

    priority = 1030
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "limit": _LIMIT,
            "time_window": _LIMIT,
            "show_limit_quota_header": {"type": "boolean", "default": True},
            "limit_strategy": {
                "type": "string",
                "enum": ["total_tokens", "prompt_tokens", "completion_tokens"],
                "default": "total_tokens",
            },
            "instances": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "limit": _LIMIT, "time_window": _LIMIT},
                    "required": ["name", "limit", "time_window"],
                },
            },
            "rejected_code": {"type": "integer", "minimum": 200, "maximum": 599, "default": 503},
            "rejected_msg": {"type": "string", "minLength": 1},
        },
        "dependencies": {"limit": ["time_window"], "time_window": ["limit"]},
        "anyOf": [{"required": ["limit", "time_window"]}, {"required": ["instances"]}],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        names = [each["name"] for each in conf.get("instances", ())]
        if len(names) != len(set(names)):
            raise ValueError("there are two limits for one instance")

    def prepare(self) -> None:
        self._windows = Windows()
        self._limits: dict[str, tuple[int, int]] = {
            each["name"]: (each["limit"], each["time_window"]) for each in self.conf.get("instances", ())
        }
        if "limit" in self.conf:
            self._limits[""] = (self.conf["limit"], self.conf["time_window"])

    def access(self, exchange: Exchange) -> Response | None:
        now = self.gate.monotonic()
        told: list[tuple[bytes, bytes]] = []
        over: list[str] = []
        for name, (limit, window) in self._limits.items():
            left, reset = self._windows.look(name, limit, window, now)
            if left <= 0:
                over.append(name)
            shown = (name or _NAME).encode("latin-1", "replace").lower()
            for what, value in ((b"limit", limit), (b"remaining", left), (b"reset", math.ceil(reset))):
                told.append((b"x-ai-ratelimit-" + what + b"-" + shown, b"%d" % value))
        if self.conf["show_limit_quota_header"]:
            exchange.notes[self] = told
        # A limit of one instance alone leaves the others; only where all of them are used up is there nobody to ask.
        if "" in over or len(over) == len(self._limits):
            return rejected(self.conf)
        exchange.notes.setdefault(ON_END, []).append(self._charge)
        return None

    def header_filter(self, exchange: Exchange) -> None:
        if exchange.response is not None:
            for name, value in exchange.notes.get(self, ()):
                exchange.response.headers.set(name, value)

    def _charge(self, call: Call) -> None:
        now = self.gate.monotonic()
        for event in call.events:
            for name in ("", event.provider):
                limit = self._limits.get(name)
                if limit is not None:
                    self._windows.add(name, limit[1], now, self._tokens(event.usage))

    def _tokens(self, usage: Any) -> int:
        kinds = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
        return int(kinds[self.conf["limit_strategy"]])
