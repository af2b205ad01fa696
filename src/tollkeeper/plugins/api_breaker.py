"""api-breaker: leaves an upstream that fails in peace for a while."""

from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.core.breaker import Breaker
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import Headers, check_names, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.variables import filled


class ApiBreaker(Plugin):
    """After failures in a row it answers itself for 2, 4, 8, ... seconds; each host and path is broken by itself."""

    priority = 1005
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "break_response_code": {"type": "integer", "minimum": 200, "maximum": 599},
            "break_response_body": {"type": "string"},
            "break_response_headers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "key": {"type": "string", "minLength": 1},
                        "value": {"type": "string", "minLength": 1},
                    },
                    "required": ["key", "value"],
                },
            },
            "max_breaker_sec": {"type": "integer", "minimum": 3, "default": 300},
            "unhealthy": {
                "type": "object",
                "properties": {
                    "http_statuses": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "integer", "minimum": 500, "maximum": 599},
                        "uniqueItems": True,
                        "default": [500],
                    },
                    "failures": {"type": "integer", "minimum": 1, "default": 3},
                },
                "default": {"http_statuses": [500], "failures": 3},
            },
            "healthy": {
                "type": "object",
                "properties": {
                    "http_statuses": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "integer", "minimum": 200, "maximum": 499},
                        "uniqueItems": True,
                        "default": [200],
                    },
                    "successes": {"type": "integer", "minimum": 1, "default": 3},
                },
                "default": {"http_statuses": [200], "successes": 3},
            },
        },
        "required": ["break_response_code"],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if "break_response_headers" in conf and "break_response_body" not in conf:
            raise ValueError("can not set break_response_headers without break_response_body")
        check_names(each["key"] for each in conf.get("break_response_headers", ()))

    def prepare(self) -> None:
        conf = self.conf
        failures, successes = conf["unhealthy"]["failures"], conf["healthy"]["successes"]
        self._breaker = Breaker(failures, successes, conf["max_breaker_sec"])

    def access(self, exchange: Exchange) -> Response | None:
        name = exchange.request.host + exchange.request.path
        if self._breaker.opened(name, self.gate.monotonic()) is None:
            exchange.notes[self] = name
            return None
        headers = Headers()
        for each in self.conf.get("break_response_headers", ()):
            headers.set(each["key"].encode(), written(filled(each["value"], exchange)))
        body = self.conf.get("break_response_body", "")
        return Response(self.conf["break_response_code"], body.encode(), headers)

    def header_filter(self, exchange: Exchange) -> None:
        name, response = exchange.notes.get(self), exchange.response
        if name is None or response is None or exchange.answered_by is not None:
            return
        if response.status in self.conf["unhealthy"]["http_statuses"]:
            self._breaker.failed(name, self.gate.monotonic())
        elif response.status in self.conf["healthy"]["http_statuses"]:
            self._breaker.succeeded(name)
