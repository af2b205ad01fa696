"""proxy-rewrite: changes what the upstream is asked."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.headers import check_names, grouped, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.variables import filled

_GROUP = re.compile(r"\$(?:\{(\d+)\}|(\d+))")
_NAME = r"^[^:]+$"
_CONTROL = re.compile(r"[\r\n\0]")
_ASCII = bytes(range(128))
_VALUES: Schema = {
    "type": "object",
    "minProperties": 1,
    "patternProperties": {_NAME: {"oneOf": [{"type": "string"}, {"type": "number"}]}},
}
_METHODS = (
    *("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE"),
    *("PROPFIND", "LOCK", "UNLOCK", "PATCH", "TRACE"),
)


class ProxyRewrite(Plugin):
    """Another path, method, Host or headers, with variables and what a pattern found in the path."""

    priority = 1008
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "uri": {"type": "string", "minLength": 1, "maxLength": 4096, "pattern": r"^\/.*"},
            "method": {"type": "string", "enum": list(_METHODS)},
            "regex_uri": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "host": {"type": "string", "pattern": r"^[0-9a-zA-Z\-_.\[\]:]+$"},
            "headers": {
                "oneOf": [
                    {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": False,
                        "properties": {
                            "add": _VALUES,
                            "set": _VALUES,
                            "remove": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "string", "pattern": _NAME},
                            },
                        },
                    },
                    {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": {"oneOf": [{"type": "string"}, {"type": "number"}]},
                    },
                ]
            },
            "use_real_request_uri_unsafe": {"type": "boolean", "default": False},
        },
        "minProperties": 1,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for names in grouped(conf.get("headers", {})).values():
            check_names(names)
            if isinstance(names, dict) and any(_CONTROL.search(str(value)) for value in names.values()):
                raise ValueError("invalid value character in header")
        rules = conf.get("regex_uri", [])
        if len(rules) % 2:
            raise ValueError("The length of regex_uri should be an even number")
        for pattern in rules[::2]:
            try:
                patterns.compiled(pattern)
            except BadPattern as error:
                raise ValueError(f"invalid regex_uri({pattern}): {error}") from None

    def prepare(self) -> None:
        rules = self.conf.get("regex_uri", [])
        self._patterns = [(self.gate.patterns.compiled(rules[at]), rules[at + 1]) for at in range(0, len(rules), 2)]
        changes = grouped(self.conf.get("headers", {}))
        self._add = _encoded(changes.get("add", {}))
        self._set = _encoded(changes.get("set", {}))
        self._remove = [name.lower().encode() for name in changes.get("remove", ())]
        self._host = self.conf["host"].encode("latin-1") if "host" in self.conf else None

    def rewrite(self, exchange: Exchange) -> None:
        request, conf = exchange.request, self.conf
        match: re.Match[str] | None = None
        path = request.path
        if conf["use_real_request_uri_unsafe"]:
            path = request.came[0]
        if "uri" in conf:
            self._go_to(exchange, *_parts(conf["uri"], None, exchange))
        else:
            for pattern, replacement in self._patterns:
                match = pattern.search(path)
                if match is not None:
                    made, query = _parts(replacement, match, exchange)
                    # What the pattern left alone stays around it.
                    self._go_to(exchange, path[: match.start()] + made + path[match.end() :], query)
                    break
            else:
                if conf["use_real_request_uri_unsafe"]:
                    self._go_to(exchange, path, "")
        if "method" in conf:
            request.method = conf["method"]
        if self._host is not None:
            exchange.host = self._host
        headers = request.headers
        for name, value in self._add:
            headers.add(name, _value(value, match, exchange))
        for name, value in self._set:
            found = _value(value, match, exchange)
            if found:
                headers.set(name, found)
            else:
                headers.remove(name)
        if self._remove:
            headers.remove(*self._remove)

    def _go_to(self, exchange: Exchange, path: str, query: str) -> None:
        request = exchange.request
        request.path = unquote(path) if self.conf["use_real_request_uri_unsafe"] else path
        if query:
            query = quote(query, safe=_ASCII, errors="surrogateescape")
            request.query = query + ("&" + request.query if request.query else "")


def _parts(template: str, match: "re.Match[str] | None", exchange: Exchange) -> tuple[str, str]:
    """Path and query: cut apart before they are filled, so that a question mark in a value stays one of the path."""
    path, _, query = template.partition("?")
    return _text(path, match, exchange), _text(query, match, exchange)


def _text(template: str, match: "re.Match[str] | None", exchange: Exchange) -> str:
    if "$" not in template:
        return template
    if match is not None:
        found = match  # what a client sent is put in last, so that no $ in it is filled
        groups = len(found.groups())
        pieces, at = [], 0
        for group in _GROUP.finditer(template):
            number = int(group[1] or group[2])
            pieces += [
                filled(template[at : group.start()], exchange),
                (found[number] or "") if number <= groups else "",
            ]
            at = group.end()
        return "".join([*pieces, filled(template[at:], exchange)])
    return filled(template, exchange)


def _value(template: str, match: "re.Match[str] | None", exchange: Exchange) -> bytes:
    return written(_text(template, match, exchange))


def _encoded(headers: Mapping[str, Any]) -> list[tuple[bytes, str]]:
    return [(name.lower().encode(), str(value)) for name, value in headers.items()]
