"""forward-auth: another server decides whether a request may pass."""

from collections.abc import Iterable
from typing import ClassVar
from urllib.parse import urlsplit

from tollkeeper.core.errors import TollkeeperError
from tollkeeper.routes.asking import ask
from tollkeeper.routes.authentication import less_key
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import Headers, check_names, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.proxying import encoded
from tollkeeper.routes.variables import filled

_NAMES: Schema = {"type": "array", "items": {"type": "string"}, "default": []}
_MOST_BODY = 1024 * 1024
"""Bytes of a request's body that the other server is shown."""


class ForwardAuth(Plugin):
    """It is told of the request; an answer below 300 lets it pass, any other is the client's."""

    priority = 2002
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "uri": {"type": "string", "pattern": r"^https?://"},
            "allow_degradation": {"type": "boolean", "default": False},
            "status_on_error": {"type": "integer", "minimum": 200, "maximum": 599, "default": 403},
            "request_method": {"type": "string", "enum": ["GET", "POST"], "default": "GET"},
            "request_headers": _NAMES,
            "upstream_headers": _NAMES,
            "client_headers": _NAMES,
            "extra_headers": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": ["string", "number"]},
            },
            "timeout": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 3000},
            "max_req_body_bytes": {"type": "integer", "minimum": 1, "default": _MOST_BODY},
        },
        "required": ["uri"],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if not urlsplit(conf["uri"]).hostname:
            raise ValueError(f"uri has no host: {conf['uri']}")
        for field in ("request_headers", "upstream_headers", "client_headers", "extra_headers"):
            check_names(conf.get(field, ()))

    async def access(self, exchange: Exchange) -> Response | None:
        request, conf = exchange.request, self.conf
        key, (path, query) = exchange.gate_key, request.came
        headers = [
            (b"x-forwarded-proto", request.scheme.encode("ascii")),
            (b"x-forwarded-method", request.method.encode("ascii", "replace")),
            (b"x-forwarded-host", request.headers.get(b"host") or b""),
            (b"x-forwarded-uri", encoded(path, less_key(query, key))),
            (b"x-forwarded-for", request.client.encode("latin-1", "replace")),
        ]
        body = b""
        if conf["request_method"] == "POST":
            body = await request.read(conf["max_req_body_bytes"])
            headers += [(name, each) for name in (b"content-type",) for each in request.headers.all(name)]
        for name in conf["request_headers"]:
            wanted = name.lower().encode()
            headers += [(wanted, each) for each in request.headers.all(wanted) if key is None or key not in each]
        extra = Headers()
        for name, value in conf.get("extra_headers", {}).items():
            extra.set(name.encode(), written(filled(str(value), exchange)))
        headers += extra.items
        try:
            status, told, said = await ask(
                self.gate.outbound, conf["request_method"], conf["uri"], headers, body, seconds=conf["timeout"] / 1000
            )
        except TollkeeperError as error:
            self.gate.say("forward_auth_failed", reason=error.message)
            return None if conf["allow_degradation"] else Response(conf["status_on_error"])
        answer = Headers([(name.lower(), value) for name, value in told])
        if status >= 300:
            shown = Headers()
            for name in conf["client_headers"]:
                wanted = name.lower().encode()
                for value in answer.all(wanted):
                    shown.add(wanted, value)
            return Response(status, said, shown)
        for name in conf["upstream_headers"]:
            wanted = name.lower().encode()
            # What the client sent under this name must not pass for what the other server says.
            request.headers.disown(wanted)
            for value in answer.all(wanted):
                request.headers.add(wanted, value)
        return None
