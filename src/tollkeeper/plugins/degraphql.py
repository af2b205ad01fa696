"""degraphql: a plain route becomes a query of a GraphQL server."""

import re
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.wire.json_text import BadJson

_TEXT = re.compile(r'"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*')
"""Strings and comments: braces in them are none."""
_PIECE = re.compile(r"[{}()]|\w+")
_DECLARED = re.compile(r"\$(\w+)\s*:\s*(\w+)")


class Degraphql(Plugin):
    """Variables come from the query by GET, each as its declared type has it, and from a JSON body by POST."""

    priority = 509
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": 1024},
            "variables": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "operation_name": {"type": "string", "minLength": 1, "maxLength": 1024},
        },
        "required": ["query"],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        query = conf["query"]
        if "{" not in query or query.count("{") != query.count("}"):
            raise ValueError("failed to parse query: braces do not match")
        if "operation_name" not in conf and _operations(query) > 1:
            raise ValueError("operation_name is required if multiple operations are present in the query")

    def prepare(self) -> None:
        self._kinds = dict(_DECLARED.findall(self.conf["query"]))

    async def access(self, exchange: Exchange) -> Response | None:
        request, conf = exchange.request, self.conf
        if request.method not in ("GET", "POST"):
            return Response(405)
        asked: dict[str, Any] = {"query": conf["query"]}
        if "operation_name" in conf:
            asked["operationName"] = conf["operation_name"]
        names: list[str] = conf.get("variables", [])
        variables: dict[str, Any] = {}
        if names and request.method == "POST":
            try:
                given = request.json(await request.read() or b"{}")
            except BadJson as error:
                return Response.json(400, {"message": f"invalid request body: {error}"})
            if not isinstance(given, dict):
                return Response.json(400, {"message": "invalid request body: an object is expected"})
            variables = {name: given[name] for name in names if name in given}
        elif names:
            for name in names:
                value = exchange.var("arg_" + name)
                if value is not None:
                    variables[name] = _typed(value, self._kinds.get(name))
        if names:
            asked["variables"] = variables
        request.method = "POST"
        request.query = ""
        request.body = msgspec.json.encode(asked)
        request.headers.remove(b"content-encoding", b"content-length")
        request.headers.set(b"content-type", b"application/json")
        return None


def _operations(query: str) -> int:
    """How many selections stand outside of all brackets, but for those of fragments."""
    depth = found = 0
    for piece in _PIECE.findall(_TEXT.sub("", query)):
        if piece in "{(":
            found += piece == "{" and depth == 0
            depth += 1
        elif piece in "})":
            depth -= 1
        elif piece == "fragment" and depth == 0:
            found -= 1
    return found


def _typed(value: str, kind: str | None) -> Any:
    """As its declared type has it; left as it is where it is not of that type, for the server to say so."""
    try:
        if kind == "Int":
            return int(value)
        if kind == "Float":
            return float(value)
    except ValueError:
        return value
    if kind == "Boolean" and value in ("true", "false"):
        return value == "true"
    return value
