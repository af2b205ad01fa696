"""body-transformer: makes another body out of a request's or an answer's, by a template."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, ParseError, fromstring
from xml.sax.saxutils import escape

import msgspec
from jinja2 import ChainableUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import written
from tollkeeper.routes.held_body import HeldBody
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.room import Room
from tollkeeper.wire import counted
from tollkeeper.wire.counted import TooMany
from tollkeeper.wire.json_text import BadJson

_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=ChainableUndefined, autoescape=True, keep_trailing_newline=True, trim_blocks=True
)
_RAW = re.compile(r"\{\*(.*?)\*\}", re.DOTALL)
_SIDE: Schema = {
    "type": "object",
    "properties": {
        "input_format": {"type": "string", "enum": ["xml", "json", "encoded", "args", "plain", "multipart"]},
        "template": {"type": "string"},
        "template_is_base64": {"type": "boolean"},
        "max_body_bytes": {"type": "integer", "minimum": 1, "default": 64 * 1024 * 1024},
    },
    "required": ["template"],
}


class BodyTransformer(Plugin):
    """`{{ x }}` is escaped for HTML, `{* x *}` is not; statements are Jinja's, not Lua's."""

    priority = 1080
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {"request": _SIDE, "response": _SIDE},
        "anyOf": [{"required": ["request"]}, {"required": ["response"]}],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for side in ("request", "response"):
            if side in conf:
                try:
                    _compiled(conf[side])
                except TemplateError as error:
                    raise ValueError(f"{side} template parse: {error}") from None

    def prepare(self) -> None:
        self._templates = {side: _compiled(self.conf[side]) for side in ("request", "response") if side in self.conf}

    async def rewrite(self, exchange: Exchange) -> Response | None:
        if "request" not in self.conf:
            return None
        request, side = exchange.request, self.conf["request"]
        kind = request.headers.get(b"content-type") or b""
        body = b"" if side.get("input_format") == "args" else await request.read(side["max_body_bytes"])
        try:
            made = self._made("request", body, kind, exchange)
        except _Undecodable as error:
            return Response.json(400, {"message": f"request body decode: {error}"})
        except TooMany as error:
            return Response.json(413, {"message": f"request body decode: {error}"})
        except _Failed as error:
            return Response.json(503, {"message": f"request template rendering: {error}"})
        request.body = made
        request.headers.remove(b"content-length", b"content-encoding")
        return None

    def header_filter(self, exchange: Exchange) -> None:
        if "response" in self.conf and exchange.response is not None:
            most = min(self.conf["response"]["max_body_bytes"], self.gate.room.read_body)
            exchange.notes[self] = held = HeldBody(exchange, most)
            held.take_headers()

    def body_filter(self, exchange: Exchange, chunk: bytes, last: bool) -> bytes:
        held: HeldBody | None = exchange.notes.get(self)
        if held is None:
            return chunk
        if not held.readable and not last:
            return b""
        try:
            if not held.readable:
                raise _Undecodable(f"it is compressed as {held.coding.decode('latin-1')}")
            passed = held.add(chunk, last)
            if held.whole is None:
                return passed
            assert exchange.response is not None
            kind = exchange.response.headers.get(b"content-type") or b""
            return self._made("response", held.whole, kind, exchange)
        except (_Undecodable, _Failed, TooMany) as error:
            # What is no template's must not be taken for it.
            self.gate.say("body_transformer_failed", reason=str(error))
            return msgspec.json.encode({"message": f"response body transform: {error}"})

    def _made(self, side: str, body: bytes, kind: bytes, exchange: Exchange) -> bytes:
        values: dict[str, Any] = {}
        decoded = _decoded(self.conf[side].get("input_format"), body, kind, exchange, self.gate.room)
        if isinstance(decoded, Mapping):
            values.update((str(name), each) for name, each in decoded.items())
        elif decoded is not None:
            values["_decoded"] = decoded
        values["_ctx"] = {"var": _Variables(exchange)}
        values["_body"] = body.decode("utf-8", "replace")
        values["_escape_xml"] = lambda value: escape(str(value))
        values["_escape_json"] = lambda value: msgspec.json.encode(value).decode()
        try:
            return self._templates[side].render(values).encode("utf-8", "surrogatepass")
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise _Failed(str(error)) from None


class _Undecodable(ValueError):
    """The body is not of the format that was said."""


class _Failed(ValueError):
    """The template cannot be filled."""


class _Variables:
    """`_ctx.var.remote_addr` in a template."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __getitem__(self, name: str) -> str | None:
        found = self._exchange.var(name)
        return None if found is None else written(found).decode("utf-8", "replace")


def _compiled(side: Mapping[str, Any]) -> Template:
    text: str = side["template"]
    if side.get("template_is_base64"):
        try:
            text = base64.b64decode(text, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise TemplateError("the template is not base64") from None
    return _ENVIRONMENT.from_string(_RAW.sub(r"{{ (\1) | safe }}", text))


def _decoded(format: str | None, body: bytes, kind: bytes, exchange: Exchange, room: Room) -> Any:
    """Raises _Undecodable, and TooMany."""
    if format is None:
        named = (("json", b"json"), ("xml", b"xml"), ("encoded", b"urlencoded"), ("multipart", b"multipart"))
        format = next((each for each, part in named if part in kind.lower()), "plain")
    if format == "args":
        return dict(parse_qsl(exchange.request.query, keep_blank_values=True))
    if format == "encoded":
        return dict(counted.form_fields(body.decode("utf-8", "replace"), room.read_fields))
    if format == "json":
        try:
            return counted.json_value(body, room.read_values)
        except BadJson as error:
            raise _Undecodable(str(error)) from None
    if format == "xml":
        try:
            text = body.decode("utf-8")
            if "<!DOCTYPE" in text:
                raise _Undecodable("a document type is not taken")  # no entities, so none that grow
            counted.check_elements(text, room.read_values)
            root = fromstring(text)
            return {_local(root): _tree(root)}
        except (ParseError, UnicodeDecodeError) as error:
            raise _Undecodable(str(error)) from None
        except RecursionError:
            raise _Undecodable("it is nested too deeply") from None
    if format == "multipart":
        return _parts(body, kind, room.read_fields)
    return None


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _tree(element: Element) -> Any:
    """Text where there is only text, else children by name; several of one name become a list, attributes are `_attr`."""
    children = list(element)
    if not children and not element.attrib:
        return element.text or ""
    found: dict[str, Any] = {}
    if element.attrib:
        found["_attr"] = dict(element.attrib)
    text = (element.text or "").strip()
    if text:
        found["_text"] = text
    for child in children:
        name, value = _local(child), _tree(child)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _parts(body: bytes, kind: bytes, most: int) -> dict[str, str]:
    """The fields of a form, files too, as text."""
    boundary = re.search(rb'boundary="?([^";,]+)"?', kind, re.IGNORECASE)
    if boundary is None:
        raise _Undecodable("there is no boundary")
    found: dict[str, str] = {}
    parts = body.split(b"--" + boundary[1], most + 2)[1:]
    if len(parts) > most + 1:
        raise TooMany(f"it has more than {most} fields")
    for part in parts[:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is not None:
            found[name[1].decode("utf-8", "replace")] = content.removesuffix(b"\r\n").decode("utf-8", "replace")
    return found
