"""mocking: answers in place of the upstream."""

import asyncio
from collections.abc import Iterable
from random import Random
from typing import Any, ClassVar
from xml.sax.saxutils import escape

import msgspec

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import Headers, check_names, written
from tollkeeper.routes.json_schema import Schema, check_schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.variables import filled

_WORDS = ("harbour", "lantern", "meadow", "orchard", "pebble", "river", "willow", "yarrow")


class Mocking(Plugin):
    """Answers with an example, or with values made up by a JSON Schema."""

    priority = 10900
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "delay": {"type": "integer", "minimum": 0, "maximum": 60, "default": 0},
            "response_status": {"type": "integer", "minimum": 100, "default": 200},
            "content_type": {"type": "string", "default": "application/json;charset=utf8"},
            "response_example": {"type": "string"},
            "response_schema": {"type": "object"},
            "with_mock_header": {"type": "boolean", "default": True},
            "response_headers": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": ["string", "number"]},
            },
        },
        "anyOf": [{"required": ["response_example"]}, {"required": ["response_schema"]}],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if not conf["content_type"].startswith(
            ("application/json", "application/xml", "text/plain", "text/html", "text/xml")
        ):
            raise ValueError("unsupported content type!")
        if conf["response_status"] < 200:
            raise ValueError("response_status must be 200 or more: below, clients wait for another answer")
        check_names(conf.get("response_headers", ()))
        check_schema(conf.get("response_schema", True), "response_schema")

    async def access(self, exchange: Exchange) -> Response:
        conf = self.conf
        if conf["delay"]:
            await asyncio.sleep(conf["delay"])
        if "response_example" in conf:
            body = filled(conf["response_example"], exchange).encode("utf-8", "surrogateescape")
        else:
            made = _made_up(conf["response_schema"], self.gate.random)
            is_xml = conf["content_type"].startswith(("application/xml", "text/xml"))
            body = _xml("data", made).encode("utf-8", "replace") if is_xml else msgspec.json.encode(made)
        headers = Headers([(b"content-type", written(conf["content_type"]))])
        if conf["with_mock_header"]:
            headers.add(b"x-mock-by", b"Tollkeeper")
        for name, value in conf.get("response_headers", {}).items():
            headers.set(name.encode(), written(filled(str(value), exchange)))
        return Response(conf["response_status"], body, headers)


def _xml(name: str, value: Any) -> str:
    """An element; what is in a list is an element each."""
    if isinstance(value, list):
        return "".join(_xml(name, each) for each in value)
    if isinstance(value, dict):
        inner = "".join(_xml(each, part) for each, part in value.items())
    else:
        inner = "" if value is None else escape(str(value).lower() if isinstance(value, bool) else str(value))
    return f"<{name}>{inner}</{name}>"


def _made_up(schema: Schema, random: Random) -> Any:
    if "example" in schema:
        return schema["example"]
    if schema.get("enum"):
        return random.choice(schema["enum"])
    kind = schema.get("type", "object")
    if kind == "object":
        known = schema.get("properties", {})
        return {name: _made_up(inner if isinstance(inner, dict) else {}, random) for name, inner in known.items()}
    if kind == "array":
        items = schema.get("items")
        each = items if isinstance(items, dict) else {"type": "string"}
        return [_made_up(each, random) for _ in range(random.randint(1, 3))]
    if kind == "integer":
        return random.randint(1, 10_000)
    if kind == "number":
        return round(random.uniform(1, 10_000), 2)
    if kind == "boolean":
        return random.random() < 0.5
    return None if kind == "null" else random.choice(_WORDS)
