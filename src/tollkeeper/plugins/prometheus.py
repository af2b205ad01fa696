"""prometheus: counts requests, what they took and what they carried, by route."""

from typing import ClassVar

from tollkeeper.core.call import Call
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.model_work import Handed
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
        handed: Handed | None = exchange.notes.get(Handed)
        name, service, consumer = self._place(exchange)
        asked = exchange.node is not None or handed is not None
        self._traffic.add(
            code=str(0 if response is None else response.status),
            route=name,
            uri=exchange.var("matched_uri") or "",
            host=(exchange.var("matched_host") or ""),
            service=service,
            consumer=consumer,
            node="" if exchange.node is None else exchange.node.rpartition(":")[0],
            source="upstream" if exchange.answered_by is None and asked else "apisix",
            seconds=self.gate.monotonic() - exchange.started,
            upstream_seconds=exchange.upstream_seconds,
            received=request.length or len(request.whole or b""),
            sent=exchange.sent_bytes,
            kind="traditional_http" if handed is None else handed.kind,
            asked="" if handed is None else handed.asked,
            model="" if handed is None else handed.model,
        )
        if handed is not None:
            place = ("" if route is None else route.id, service, consumer)
            handed.call.on_end(lambda call: self._worked(place, handed, call))

    def _place(self, exchange: Exchange) -> tuple[str, str, str]:
        """Route, service and consumer."""
        route = exchange.route
        consumer = "" if exchange.consumer is None else exchange.consumer.name
        if route is None:
            return "", "", consumer
        named: bool = self.conf["prefer_name"]
        service = (named and route.service_name) or route.service_id or ""
        return (named and route.name) or route.id, service, consumer

    def _worked(self, place: tuple[str, ...], handed: Handed, call: Call) -> None:
        for event in call.events:
            labels = (*place, event.provider, handed.kind, handed.asked, event.model or handed.model)
            usage = event.usage
            self._traffic.worked(
                labels, usage.input_tokens, usage.output_tokens, event.duration_ms, event.first_byte_ms
            )
