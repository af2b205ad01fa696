"""request-validation: refuses requests whose headers or body are not as a JSON Schema says."""

from collections.abc import Iterable
from typing import Any, ClassVar

from tollkeeper.routes import json_schema
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema, Written
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.schema_references import resolved
from tollkeeper.wire.json_text import BadJson


class RequestValidation(Plugin):
    """The body may be JSON or a form; what is wrong with it is said in the answer."""

    priority = 2800
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "header_schema": {"type": "object"},
            "body_schema": {"type": "object"},
            "rejected_code": {"type": "integer", "minimum": 200, "maximum": 599, "default": 400},
            "rejected_msg": {"type": "string", "minLength": 1, "maxLength": 256},
        },
        "anyOf": [{"required": ["header_schema"]}, {"required": ["body_schema"]}],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for name in ("header_schema", "body_schema"):
            if name in conf:
                json_schema.check_schema(resolved(conf[name], name), name)

    def prepare(self) -> None:
        self._headers, self._body = (
            Written(resolved(self.conf[name], name), self.gate.patterns) if name in self.conf else None
            for name in ("header_schema", "body_schema")
        )

    async def rewrite(self, exchange: Exchange) -> Response | None:
        request = exchange.request
        if self._headers is not None:
            words = self._headers.wrong(_Named(request.headers.items))
            if words is not None:
                return self._refused(words)
        if self._body is not None:
            body = await request.read()
            if not body:
                return self._refused("body is empty")
            kind = (request.headers.get(b"content-type") or b"").lower()
            value: Any
            if kind.startswith(b"application/x-www-form-urlencoded"):
                given: dict[str, list[str]] = {}
                for name, text in request.form(body):
                    given.setdefault(name, []).append(text)
                value = {name: each[0] if len(each) == 1 else each for name, each in given.items()}
            else:
                try:
                    value = request.json(body)
                except BadJson as error:
                    return self._refused(f"failed to decode the req body: {error}")
            words = self._body.wrong(value)
            if words is not None:
                return self._refused(words)
        return None

    def _refused(self, words: str) -> Response:
        return Response(self.conf["rejected_code"], self.conf.get("rejected_msg", words).encode())


class _Named(dict[str, str]):
    """Headers by name, which a schema may write in any case."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        super().__init__((name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in headers)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())
