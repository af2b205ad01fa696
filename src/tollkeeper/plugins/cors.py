"""cors: which pages of other origins may use an answer in a browser."""

from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import text, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

_METHODS = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE"
_ORIGINS = r"^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$"
_PATTERNS: Schema = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 4096},
    "minItems": 1,
    "uniqueItems": True,
}


class Cors(Plugin):
    """Answers preflight requests itself and sets the headers of the rest. `**` allows every origin by naming it."""

    priority = 4000
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "allow_origins": {"type": "string", "pattern": _ORIGINS, "default": "*"},
            "allow_methods": {"type": "string", "default": "*"},
            "allow_headers": {"type": "string", "default": "*"},
            "expose_headers": {"type": "string"},
            "max_age": {"type": "integer", "default": 5},
            "allow_credential": {"type": "boolean", "default": False},
            "allow_origins_by_regex": _PATTERNS,
            "allow_origins_by_metadata": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 4096},
                "minItems": 1,
                "uniqueItems": True,
            },
            "timing_allow_origins": {"type": "string", "pattern": _ORIGINS},
            "timing_allow_origins_by_regex": _PATTERNS,
        },
    }
    metadata_schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "allow_origins": {
                "type": "object",
                "additionalProperties": {"type": "string", "pattern": _ORIGINS},
            }
        },
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if conf.get("allow_credential"):
            for name in ("allow_origins", "allow_methods", "allow_headers", "expose_headers"):
                if conf.get(name, "*" if name != "expose_headers" else "") == "*":
                    raise ValueError("you can not set '*' for other option when 'allow_credential' is true")
        for name in ("allow_origins_by_regex", "timing_allow_origins_by_regex"):
            for each in conf.get(name, ()):
                try:
                    patterns.compiled(each)
                except BadPattern as error:
                    raise ValueError(f"invalid regular expression {each!r}: {error}") from None

    def prepare(self) -> None:
        self._patterns = [self.gate.patterns.compiled(each) for each in self.conf.get("allow_origins_by_regex", ())]
        self._timing = [
            self.gate.patterns.compiled(each) for each in self.conf.get("timing_allow_origins_by_regex", ())
        ]

    def rewrite(self, exchange: Exchange) -> Response | None:
        headers = exchange.request.headers
        # What the client said, before any plugin or the upstream's wishes change it.
        exchange.notes[self] = (headers.get(b"origin"), headers.get(b"access-control-request-headers"))
        return Response(200) if exchange.request.method == "OPTIONS" else None

    def header_filter(self, exchange: Exchange) -> None:
        noted, response = exchange.notes.get(self), exchange.response
        if noted is None or response is None:
            return
        origin = text(noted[0] or b"")
        conf, headers = self.conf, response.headers
        allowed = self._allowed(origin)
        if conf["allow_origins"] != "*" or self._patterns or "allow_origins_by_metadata" in conf:
            _vary(exchange)
        if allowed is not None:
            headers.set(b"access-control-allow-origin", written(allowed))
            methods = _METHODS if conf["allow_methods"] == "**" else conf["allow_methods"]
            headers.set(b"access-control-allow-methods", written(methods))
            asked: bytes | None = noted[1]
            if conf["allow_headers"] == "**":
                if asked:
                    headers.set(b"access-control-allow-headers", asked)
            else:
                headers.set(b"access-control-allow-headers", written(conf["allow_headers"]))
            headers.set(b"access-control-max-age", b"%d" % conf["max_age"])
            exposed = conf.get("expose_headers")
            if exposed:
                headers.set(b"access-control-expose-headers", written(exposed))
            if conf["allow_credential"]:
                headers.set(b"access-control-allow-credentials", b"true")
        timed = self._timed(origin)
        if timed is not None:
            headers.set(b"timing-allow-origin", written(timed))

    def _allowed(self, origin: str) -> str | None:
        listed: str = self.conf["allow_origins"]
        if self._patterns:
            if origin and any(each.search(origin) for each in self._patterns):
                return origin
        elif listed != "*" or "allow_origins_by_metadata" not in self.conf:
            # The default would leave nothing to the metadata.
            found = _among(origin, listed)
            if found is not None:
                return found
        known = self.gate.metadata("cors").get("allow_origins", {})
        for name in self.conf.get("allow_origins_by_metadata", ()):
            found = _among(origin, known.get(name, ""))
            if found is not None:
                return found
        return None

    def _timed(self, origin: str) -> str | None:
        if self._timing:
            return origin if origin and any(each.search(origin) for each in self._timing) else None
        return _among(origin, self.conf.get("timing_allow_origins", ""))


def _among(origin: str, listed: str) -> str | None:
    if listed == "**":
        return origin or "*"
    if listed == "*":
        return "*"
    return origin if origin and origin in listed.split(",") else None


def _vary(exchange: Exchange) -> None:
    assert exchange.response is not None
    headers = exchange.response.headers
    known = [part.strip().lower() for value in headers.all(b"vary") for part in value.split(b",")]
    if b"origin" not in known and b"*" not in known:
        headers.add(b"vary", b"Origin")
