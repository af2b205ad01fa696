"""grpc-transcode: a plain HTTP request calls a method of a gRPC server, by a stored proto."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

import msgspec

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

if TYPE_CHECKING:
    from tollkeeper.routes.grpc_calls import Method

_ID: Schema = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[a-zA-Z0-9\-_.]+$"},
        {"type": "integer", "minimum": 1},
    ]
}
_PB_OPTIONS = (
    *("enum_as_name", "enum_as_value", "int64_as_number", "int64_as_string"),
    *("auto_default_values", "no_default_values"),
)
_STATUS = {
    0: 200,
    1: 499,
    2: 500,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    15: 500,
    16: 401,
}
"""https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto"""


class GrpcTranscode(Plugin):
    """Fields come from a JSON body, a form or the query; needs the extra `grpc`."""

    priority = 506
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "proto_id": _ID,
            "service": {"type": "string", "minLength": 1},
            "method": {"type": "string", "minLength": 1},
            "deadline": {"type": "number", "minimum": 0, "default": 0},
            "pb_option": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "enum": list(_PB_OPTIONS)},
            },
            "show_status_in_body": {"type": "boolean", "default": False},
        },
        "required": ["proto_id", "service", "method"],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        try:
            import tollkeeper.routes.grpc_calls  # noqa: F401
        except ImportError:
            raise ValueError("grpc-transcode needs the extra grpc: pip install 'tollkeeper[grpc]'") from None

    def prepare(self) -> None:
        self._found: tuple[Any, Method] | None = None

    async def access(self, exchange: Exchange) -> Response | None:
        request = exchange.request
        values: dict[str, Any] = dict(parse_qsl(request.query, keep_blank_values=True))
        if request.method not in ("GET", "HEAD"):
            body = await request.read()
            kind = request.headers.get(b"content-type") or b""
            if body and b"x-www-form-urlencoded" in kind:
                values |= dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
            elif body:
                try:
                    given = msgspec.json.decode(body)
                except msgspec.DecodeError as error:
                    return Response.json(400, {"message": f"invalid request body: {error}"})
                if not isinstance(given, dict):
                    return Response.json(400, {"message": "invalid request body: an object is expected"})
                values |= given
        exchange.notes[self] = values
        exchange.serve = self._call
        return None

    async def _call(self, exchange: Exchange) -> Response:
        from tollkeeper.routes.grpc_calls import BadFields, BadProto, Channels, call

        try:
            method = await self._method()
            message = method.request(exchange.notes[self])
        except BadProto as error:
            return Response.json(503, {"message": f"failed to load the proto: {error}"})
        except BadFields as error:
            return Response.json(400, {"message": str(error)})
        upstream = exchange.upstream or exchange.own_upstream
        node = None if upstream is None else upstream.choose(exchange, [])
        if upstream is None or node is None:
            return Response.json(503, {"message": "the route has no upstream with a node"})
        exchange.node = node.name
        exchange.tries += 1
        seconds = self.conf["deadline"] / 1000 or None
        hop = upstream.hop_to(node, b"")
        address = (await self.gate.resolve(hop.host, hop.port))[0]
        channels: Channels = self.gate.shared.setdefault(Channels, Channels())
        answered = await call(channels, hop, address, method, message, seconds)
        answer = Response.json(_STATUS.get(answered.status, 599), b"")
        answer.headers.add(b"grpc-status", b"%d" % answered.status)
        if answered.status or answered.body is None:
            text = answered.message.encode("latin-1", "replace").replace(b"\n", b" ").replace(b"\r", b" ")
            answer.headers.add(b"grpc-message", text)
            if self.conf["show_status_in_body"]:
                told = {"code": answered.status, "message": answered.message, "details": answered.details}
                answer.body = msgspec.json.encode({"error": told})
            return answer
        answer.body = msgspec.json.encode(method.shown(answered.body, frozenset(self.conf.get("pb_option", ()))))
        return answer

    async def _method(self) -> "Method":
        """Compiled once for each version of the proto."""
        from tollkeeper.routes.grpc_calls import BadProto, Method

        proto = self.gate.resource("protos", str(self.conf["proto_id"]))
        if proto is None:
            raise BadProto(f"failed to fetch proto by id {self.conf['proto_id']}")
        content = proto.get("content", "")
        if self._found is None or self._found[0] != content:
            made = await asyncio.to_thread(Method, content, self.conf["service"], self.conf["method"])
            self._found = (content, made)
        return self._found[1]
