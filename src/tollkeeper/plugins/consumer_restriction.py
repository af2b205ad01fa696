"""consumer-restriction: which consumers may pass, and by which methods."""

from typing import ClassVar

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Plugin

_NAMES: Schema = {"type": "array", "minItems": 1, "items": {"type": "string"}}


class ConsumerRestriction(Plugin):
    """By a consumer's name or group, or by the route or service it came to."""

    priority = 2400
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "type": {
                "type": "string",
                "enum": ["consumer_name", "service_id", "route_id", "consumer_group_id"],
                "default": "consumer_name",
            },
            "blacklist": _NAMES,
            "whitelist": _NAMES,
            "allowed_by_methods": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "user": {"type": "string"},
                        "methods": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "string",
                                "enum": [
                                    *("GET", "POST", "PUT", "DELETE", "PATCH"),
                                    *("HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"),
                                ],
                            },
                        },
                    },
                },
            },
            "rejected_code": {"type": "integer", "minimum": 200, "default": 403},
            "rejected_msg": {"type": "string"},
        },
        "anyOf": [{"required": ["blacklist"]}, {"required": ["whitelist"]}, {"required": ["allowed_by_methods"]}],
    }

    def access(self, exchange: Exchange) -> Response | None:
        conf = self.conf
        kind = conf["type"]
        value = exchange.var(kind)
        if value is None:
            told = f"The request is rejected, please check the {kind} for this request"
            return Response.json(401, {"message": told})
        if value in conf.get("blacklist", ()):
            return self._forbidden(kind)
        whitelist = conf.get("whitelist")
        allowed = whitelist is None or value in whitelist
        by_method = conf.get("allowed_by_methods")
        if by_method is not None and (whitelist is None or not allowed):
            mine = [each for each in by_method if each.get("user") == value]
            allowed = any(exchange.request.method in each.get("methods", ()) for each in mine)
        return None if allowed else self._forbidden(kind)

    def _forbidden(self, kind: str) -> Response:
        told = self.conf.get("rejected_msg") or f"The {kind} is forbidden."
        return Response.json(self.conf["rejected_code"], {"message": told})
