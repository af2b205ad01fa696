"""response-rewrite: changes what the client gets."""

import base64
import binascii
import re
import zlib
from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.core import patterns
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.patterns import BadPattern
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.expressions import BadExpression, compiled
from tollkeeper.routes.headers import check_names, grouped, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.variables import filled

_MOST = 64 * 1024 * 1024
"""Bytes of a body that filters are run over; a longer one passes as it is."""
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
_NO_FLAGS = frozenset("ajoDJuU")
"""What `options` may say besides: how nginx runs a pattern, which means nothing here or is so in any case."""
_ANY_ZLIB = zlib.MAX_WBITS | 32
"""Gzip or zlib, whichever it begins as."""
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
                each["replace"],
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
        exchange.notes[self] = kept = _Body(headers.all(b"content-encoding") if self._filters else [])
        if "status_code" in self.conf:
            response.status = self.conf["status_code"]
        if self._body is not None or (self._filters and kept.readable):
            headers.remove(b"content-length", b"content-encoding", b"etag", b"last-modified")
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
        kept: _Body | None = exchange.notes.get(self)
        if kept is None or (self._body is None and not self._filters):
            return chunk
        if self._body is not None:
            return self._body if last else b""
        if not kept.readable:
            return chunk
        kept.add(chunk, last)
        if len(kept.data) > _MOST:
            kept.passes = True
        if not last and not kept.passes:
            return b""
        body = bytes(kept.data)
        kept.data.clear()
        if kept.passes:
            return body
        for pattern, replacement, count in self._filters:
            body = pattern.sub(lambda match, text=replacement: _replaced(text, match), body, count=count)  # type: ignore[misc]
        return body


class _Body:
    """What has come of an answer's body, without its compression."""

    def __init__(self, encodings: list[bytes]) -> None:
        coded = b",".join(encodings).strip().lower()
        self.readable = coded in (b"", b"identity", b"gzip", b"x-gzip", b"deflate")
        """Whether its compression is one that is read here."""
        self.passes = False
        """Whether it is too long for filters."""
        self.data = bytearray()
        self._came = False
        self._inflates = zlib.decompressobj(_ANY_ZLIB) if coded not in (b"", b"identity") else None

    def add(self, chunk: bytes, last: bool) -> None:
        """Raises UpstreamError where it is not compressed as it says."""
        inflates = self._inflates
        if inflates is None:
            self.data += chunk
            return
        try:
            self.data += inflates.decompress(chunk) if chunk else b""
        except zlib.error as error:
            raise UpstreamError(f"The upstream's answer cannot be decompressed: {error}.") from None
        self._came |= bool(chunk)
        if last and self._came and not inflates.eof:
            raise UpstreamError("The upstream's answer cannot be decompressed: it ends too soon.")


def _replaced(template: str, match: "re.Match[bytes]") -> bytes:
    pieces, at = [], 0
    for group in _GROUP.finditer(template):
        number = int(group[1] or group[2])
        found = match[number] if number <= len(match.groups()) else b""
        pieces += [template[at : group.start()].encode(), found or b""]
        at = group.end()
    return b"".join([*pieces, template[at:].encode()])
