"""grpc-transcode: a plain HTTP request calls a method of a gRPC server, by a stored proto."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, quote

import msgspec

from tollkeeper.routes.authentication import withhold
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.proxying import forwarded
from tollkeeper.wire.json_text import BadJson

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tollkeeper.routes.grpc_calls import Answer, Method
    from tollkeeper.routes.nodes import Node
    from tollkeeper.routes.upstreams import Upstream

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

_PLAIN = "".join(chr(each) for each in range(0x20, 0x7F) if each != ord("%"))
"""What a grpc-message has unencoded (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""
_NO_NODE = "the route has no upstream with a node"


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
    def load(cls) -> None:
        with suppress(ImportError):  # which `check` tells of
            import tollkeeper.routes.grpc_calls  # noqa: F401

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        try:
            import tollkeeper.routes.grpc_calls  # noqa: F401
        except ImportError:
            raise ValueError("grpc-transcode needs the extra grpc: pip install 'tollkeeper[grpc]'") from None

    def prepare(self) -> None:
        self._found: tuple[Any, Method] | None = None
        self._compiling = asyncio.Lock()

    async def access(self, exchange: Exchange) -> Response | None:
        request = exchange.request
        texts = parse_qsl(request.query, keep_blank_values=True)
        values: Any = {}
        if request.method not in ("GET", "HEAD"):
            body = await request.read()
            kind = request.headers.get(b"content-type") or b""
            if body and b"x-www-form-urlencoded" in kind:
                posted = request.form(body)
                names = {name for name, _ in posted}
                texts = [*(pair for pair in texts if pair[0] not in names), *posted]
            elif body:
                try:
                    values = request.json(body)
                except BadJson as error:
                    return Response.json(400, {"message": f"invalid request body: {error}"})
                if not isinstance(values, dict):
                    return Response.json(400, {"message": "invalid request body: an object is expected"})
        exchange.notes[self] = (texts, values)
        exchange.serve = self._call
        return None

    async def _call(self, exchange: Exchange) -> Response:
        from tollkeeper.routes.grpc_calls import BadAnswer, BadFields, BadProto

        try:
            method = await self._method()
            message = method.request(*exchange.notes[self])
        except BadProto as error:
            return Response.json(503, {"message": f"failed to load the proto: {error}"})
        except BadFields as error:
            return Response.json(400, {"message": str(error)})
        upstream = exchange.upstream or exchange.own_upstream
        if upstream is None:
            return Response.json(503, {"message": _NO_NODE})
        try:
            answered = await self._answered(exchange, upstream, method, message)
            if answered is None:
                return Response.json(503, {"message": _NO_NODE})
            return self._told(answered, method)
        except BadAnswer as error:
            return Response.json(502, {"message": str(error)})

    async def _answered(
        self, exchange: Exchange, upstream: "Upstream", method: "Method", message: "Message"
    ) -> "Answer | None":
        """Of the first node that is there; None where the upstream has none. Raises BadAnswer and UpstreamError."""
        from tollkeeper.routes.grpc_calls import Channels, call

        if upstream.checks is not None:
            self.gate.watch(upstream)
        withhold(exchange)
        channels: Channels = self.gate.shared.setdefault(Channels, Channels(self.gate.room.read_body))
        timeouts = (exchange.route.timeouts if exchange.route is not None else None) or upstream.timeouts
        seconds = min(timeouts.first_byte, self.conf["deadline"] / 1000 or timeouts.first_byte)
        headers = forwarded(exchange.request)
        answered: Answer | None = None
        tried: list[Node] = []
        while len(tried) <= upstream.retries:
            node = upstream.choose(exchange, tried)
            if node is None:
                break
            tried.append(node)
            exchange.node = node.name
            exchange.tries += 1
            hop = upstream.hop_to(node, b"")
            address = (await self.gate.resolve(hop.host, hop.port))[0]
            node.active += 1
            try:
                answered = await call(channels, hop, address, method, message, headers, seconds)
            finally:
                node.active -= 1
            if upstream.checks is not None:
                self.gate.met(upstream, node, None if answered.unreached else _STATUS.get(answered.status, 599))
            if not answered.unreached:
                break
        return answered

    def _told(self, answered: "Answer", method: "Method") -> Response:
        """As HTTP has it. Raises BadAnswer."""
        answer = Response.json(_STATUS.get(answered.status, 599), b"")
        for name, value in answered.headers:
            answer.headers.add(name, value)
        answer.headers.set(b"grpc-status", b"%d" % answered.status)
        if not answered.status:
            answer.body = msgspec.json.encode(method.shown(answered.body, frozenset(self.conf.get("pb_option", ()))))
            return answer
        answer.headers.add(b"grpc-message", quote(answered.message, safe=_PLAIN).encode())
        if self.conf["show_status_in_body"]:
            told = {"code": answered.status, "message": answered.message, "details": answered.details}
            answer.body = msgspec.json.encode({"error": told})
        return answer

    async def _method(self) -> "Method":
        """Compiled once for each version of the proto."""
        from tollkeeper.routes.grpc_calls import BadProto, Method

        proto = self.gate.resource("protos", str(self.conf["proto_id"]))
        if proto is None:
            raise BadProto(f"failed to fetch proto by id {self.conf['proto_id']}")
        content = proto.get("content", "")
        async with self._compiling:
            if self._found is None or self._found[0] != content:
                made = await asyncio.to_thread(Method, content, self.conf["service"], self.conf["method"])
                self._found = (content, made)
            return self._found[1]
