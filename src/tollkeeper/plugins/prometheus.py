"""prometheus: counts requests, what they took and what they carried, by route."""

from typing import ClassVar

from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Plugin
from tollkeeper.routes.traffic import Traffic


class Prometheus(Plugin):
    """The numbers are at /apisix/prometheus/metrics and in /metrics of the operator port, under APISIX's names."""

    priority = 500
    schema: ClassVar[Schema] = {"type": "object", "properties": {"prefer_name": {"type": "boolean", "default": False}}}

    def prepare(self) -> None:
        self._traffic: Traffic = self.gate.shared[Traffic]

    def log(self, exchange: Exchange) -> None:
        route, response, request = exchange.route, exchange.response, exchange.request
        named = self.conf["prefer_name"] and route is not None and route.name
        self._traffic.add(
            code=str(0 if response is None else response.status),
            route="" if route is None else str(named or route.id),
            uri=exchange.var("matched_uri") or "",
            host=(exchange.var("matched_host") or ""),
            service="" if route is None else route.service_id or "",
            consumer="" if exchange.consumer is None else exchange.consumer.name,
            node="" if exchange.node is None else exchange.node.rpartition(":")[0],
            source="upstream" if exchange.answered_by is None and exchange.node is not None else "apisix",
            seconds=self.gate.monotonic() - exchange.started,
            upstream_seconds=exchange.upstream_seconds,
            received=request.length or len(request.whole or b""),
            sent=exchange.sent_bytes,
        )
