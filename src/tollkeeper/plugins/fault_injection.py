"""fault-injection: delays or aborts a share of the requests, to see how callers bear it."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.expressions import BadExpression, compiled
from tollkeeper.routes.headers import Headers, check_names, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.variables import filled

_SHARE: Schema = {
    "percentage": {"type": "integer", "minimum": 0, "maximum": 100},
    "vars": {"type": "array", "maxItems": 20, "items": {"type": "array"}},
}


class FaultInjection(Plugin):
    """A delay, an answer of its own, or both; by percentage and where one of `vars` holds."""

    priority = 11000
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "abort": {
                "type": "object",
                "properties": {
                    "http_status": {"type": "integer", "minimum": 200},
                    "body": {"type": "string", "minLength": 0},
                    "headers": {
                        "type": "object",
                        "minProperties": 1,
                        "patternProperties": {
                            r"^[^:]+$": {"oneOf": [{"type": "string"}, {"type": "number"}]},
                        },
                    },
                    **_SHARE,
                },
                "required": ["http_status"],
            },
            "delay": {
                "type": "object",
                "properties": {"duration": {"type": "number", "minimum": 0, "maximum": 3600}, **_SHARE},
                "required": ["duration"],
            },
        },
        "minProperties": 1,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        check_names(conf.get("abort", {}).get("headers", ()))
        for name in ("abort", "delay"):
            for rules in conf.get(name, {}).get("vars", ()):
                try:
                    compiled(rules)
                except BadExpression as error:
                    raise ValueError(f"failed to create vars expression: {error}") from None

    def prepare(self) -> None:
        self._rules = {
            name: [compiled(rules, self.gate.patterns) for rules in self.conf.get(name, {}).get("vars", ())]
            for name in ("abort", "delay")
        }

    async def rewrite(self, exchange: Exchange) -> Response | None:
        delay, abort = self.conf.get("delay"), self.conf.get("abort")
        if delay is not None and self._hit("delay", delay, exchange):
            await asyncio.sleep(delay["duration"])
        if abort is not None and self._hit("abort", abort, exchange):
            headers = Headers()
            for name, value in abort.get("headers", {}).items():
                headers.set(name.encode(), written(filled(str(value), exchange)))
            body = filled(abort.get("body", ""), exchange).encode("utf-8", "surrogateescape")
            return Response(abort["http_status"], body, headers)
        return None

    def _hit(self, name: str, fault: dict[str, Any], exchange: Exchange) -> bool:
        rules = self._rules[name]
        if rules and not any(holds(exchange) for holds in rules):
            return False
        share = fault.get("percentage")
        return share is None or self.gate.random.randrange(100) < share
