"""response-rewrite: changes what the client gets."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import ClassVar

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.expressions import BadExpression, compiled
from tollkeeper.routes.headers import check_names, grouped, written
from tollkeeper.routes.held_body import OF_A_BODY, HeldBody
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.variables import filled

_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
_NO_FLAGS = frozenset("ajoDJuU")
"""What `options` may say besides: how nginx runs a pattern, which means nothing here or is so in any case."""
_GROUP = re.compile(r"\$(?:\{(\d+)\}|(\d+))")
_VALUES: Schema = {
    "type": "object",
    "minProperties": 1,
    "patternProperties": {r"^[^:]+$": {"oneOf": [{"type": "string"}, {"type": "number"}]}},
}


class ResponseRewrite(Plugin):
    """Another status, other headers, another body, or replacements in it; where `vars` holds."""

    priority = 899
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "headers": {
                "anyOf": [
                    {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": False,
                        "properties": {
                            "add": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "string", "pattern": r"^[^:]+:[^:]*[^/]$"},
                            },
                            "set": _VALUES,
                            "remove": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "string", "pattern": r"^[^:]+$"},
                            },
                        },
                    },
                    _VALUES,
                ]
            },
            "body": {"type": "string"},
            "body_base64": {"type": "boolean", "default": False},
            "status_code": {"type": "integer", "minimum": 200, "maximum": 598},
            "vars": {"type": "array"},
            "filters": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["regex", "replace"],
                    "properties": {
                        "regex": {"type": "string", "minLength": 1},
                        "scope": {"type": "string", "enum": ["once", "global"], "default": "once"},
                        "replace": {"type": "string"},
                        "options": {"type": "string", "default": "jo"},
                    },
                },
            },
        },
        "dependencies": {"body": {"not": {"required": ["filters"]}}, "filters": {"not": {"required": ["body"]}}},
        "minProperties": 1,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if conf.get("body_base64"):
            try:
                decoded = base64.b64decode(conf.get("body", ""), validate=True)
            except (binascii.Error, ValueError):
                decoded = b""
            if not decoded:
                raise ValueError("invalid base64 content")
        headers = grouped(conf.get("headers", {}))
        check_names(line.partition(":")[0].strip() for line in headers.get("add", ()))
        check_names([*headers.get("set", ()), *headers.get("remove", ())])
        if "vars" in conf:
            try:
                compiled(conf["vars"])
            except BadExpression as error:
                raise ValueError(f"failed to validate the 'vars' expression: {error}") from None
        for each in conf.get("filters", ()):
            try:
                patterns.compiled(each["regex"])
            except BadPattern as error:
                raise ValueError(f'regex "{each["regex"]}" validation failed: {error}') from None
            for option in each["options"]:
                if option not in _FLAGS and option not in _NO_FLAGS:
                    raise ValueError(f'regex "{each["regex"]}" validation failed: unknown flag "{option}"')

    def prepare(self) -> None:
        conf = self.conf
        self._holds = compiled(conf["vars"], self.gate.patterns) if conf.get("vars") else None
        self._filters = [
            (
                self.gate.patterns.compiled(
                    each["regex"].encode(), sum(_FLAGS.get(option, 0) for option in set(each["options"]))
                ),
                _replacing(each["replace"]),
                0 if each["scope"] == "global" else 1,
            )
            for each in conf.get("filters", ())
        ]
        self._body: bytes | None = None
        if "body" in conf:
            self._body = base64.b64decode(conf["body"]) if conf["body_base64"] else conf["body"].encode()
        self._headers = grouped(conf.get("headers", {}))

    def header_filter(self, exchange: Exchange) -> None:
        response = exchange.response
        if response is None or (self._holds is not None and not self._holds(exchange)):
            return
        headers = response.headers
        if "status_code" in self.conf:
            response.status = self.conf["status_code"]
        if self._body is not None:
            exchange.notes[self] = None
            headers.remove(*OF_A_BODY)
        elif self._filters:
            held = HeldBody(exchange, self.gate.room.read_body)
            if held.readable:
                exchange.notes[self] = held
                held.take_headers()
        for line in self._headers.get("add", ()):
            name, _, value = line.partition(":")
            headers.add(name.strip().encode(), written(filled(value.strip(), exchange)))
        for name, value in self._headers.get("set", {}).items():
            found = written(filled(str(value), exchange))
            if found:
                headers.set(name.encode(), found)
            else:
                headers.remove(name.lower().encode())
        headers.remove(*(name.lower().encode() for name in self._headers.get("remove", ())))

    def body_filter(self, exchange: Exchange, chunk: bytes, last: bool) -> bytes:
        if self not in exchange.notes:
            return chunk
        held: HeldBody | None = exchange.notes[self]
        if held is None:
            return (self._body or b"") if last else b""
        passed = held.passes
        out = held.add(chunk, last)
        if held.passes and not passed:
            self.gate.say("response_rewrite_skipped", request_id=exchange.request_id, most=self.gate.room.read_body)
        if held.whole is None:
            return out
        body = held.whole
        for pattern, replacement, count in self._filters:
            body = pattern.sub(replacement, body, count=count)
        return body


def _replacing(template: str) -> "Callable[[re.Match[bytes]], bytes]":
    """What makes a match into its replacement. Read once: the time of a comparison counts what is done for each match."""
    pieces: list[bytes | int] = []
    at = 0
    for group in _GROUP.finditer(template):
        pieces += [template[at : group.start()].encode(), int(group[1] or group[2])]
        at = group.end()
    last = template[at:].encode()
    if not pieces:
        return lambda match: last
    pieces.append(last)

    def replaced(match: "re.Match[bytes]") -> bytes:
        most = len(match.groups())
        return b"".join(
            each if isinstance(each, bytes) else (match[each] or b"" if each <= most else b"") for each in pieces
        )

    return replaced
