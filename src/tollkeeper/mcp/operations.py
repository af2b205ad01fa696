"""Operations of an OpenAPI document as tools: their names, what they take, and the request that arguments come to."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from tollkeeper.mcp.documents import BadDocument, Document, Schemas, followed

LONGEST_NAME = 64
"""Characters that every client takes (https://modelcontextprotocol.io/specification, tool names; SEP-986)."""
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_READING = ("GET", "HEAD", "OPTIONS", "TRACE")
_LONGEST_TEXT = 1000
_LARGEST_SCHEMA = 16 * 1024
"""Bytes of what one tool takes: a client reads all tools at once."""
_PATH = re.compile(r"/[\x21\x22\x24-\x3E\x40-\x7E]*")
"""What is sent as it stands: printable, without a query or a fragment."""
_NOT_GIVEN = frozenset(
    (
        *("accept", "content-type", "authorization", "host", "content-length", "transfer-encoding", "connection"),
        *("cookie", "upgrade", "expect", "te", "trailer", "keep-alive", "proxy-authorization"),
    )
)
"""Headers that OpenAPI does not let be parameters, and those that are the connection's own."""
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.I)
_FORM = "application/x-www-form-urlencoded"
_SEPARATED = {"spaceDelimited": " ", "pipeDelimited": "|"}
Place = Literal["path", "query", "header"]


class BadArguments(ValueError):
    """No request can be made of them; the words say why."""


class Parameter(Struct, frozen=True):
    """Where an argument goes."""

    argument: str
    name: str
    place: Place
    style: str
    explode: bool
    as_json: bool = False


class Prepared(Struct, frozen=True):
    """A request."""

    method: str
    path: str
    """Percent-encoded."""
    query: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Operation(Struct, frozen=True, kw_only=True):
    """One operation that a tool can be made of."""

    name: str
    title: str
    description: str
    method: str
    path: str
    """With {placeholders}; where the API begins included."""
    parameters: tuple[Parameter, ...]
    body: str | None
    """The argument that the body is made of."""
    media_type: str
    takes: Mapping[str, Any]

    @property
    def reads(self) -> bool:
        """Changes nothing (RFC 9110, 9.2.1)."""
        return self.method in _READING

    @property
    def repeatable(self) -> bool:
        """RFC 9110, 9.2.2."""
        return self.reads or self.method in ("PUT", "DELETE")

    def prepared(self, arguments: Mapping[str, Any]) -> Prepared:
        """The request for arguments that `takes` allows. Raises BadArguments."""
        unknown = set(arguments) - set(self.takes["properties"])
        if unknown:
            raise BadArguments(f"there is no argument {min(unknown)[:64]}")
        missing = [name for name in self.takes["required"] if name not in arguments]
        if missing:
            raise BadArguments(f"{missing[0]} is required")
        path = self.path
        query: list[tuple[str, str]] = []
        headers = []
        for parameter in self.parameters:
            value = arguments.get(parameter.argument)
            if value is None:
                continue
            if parameter.place == "path":
                text = _simple(parameter, value)
                if not text or not {".", ".."}.isdisjoint(text.split("/")):
                    raise BadArguments(f"{parameter.argument} cannot be empty, nor have a part that is made of dots")
                path = path.replace("{" + parameter.name + "}", quote(text, safe=""))
            elif parameter.place == "query":
                query += _queried(parameter, value)
            else:
                text = _simple(parameter, value)
                if not text.isprintable():
                    raise BadArguments(f"{parameter.argument} cannot be sent as a header")
                headers.append((parameter.name.lower().encode(), text.encode("utf-8")))
        if "{" in path:
            raise BadArguments(f"{path[path.index('{') : path.index('}') + 1]} is not given")
        if any(segment in (".", "..") for segment in path.split("/")) or "//" in path:
            raise BadArguments("a part of the path is empty or made of dots")
        body = b""
        if self.body is not None and self.body in arguments:
            body = self._body(arguments[self.body])
            headers.append((b"content-type", self.media_type.encode()))
        return Prepared(self.method, path, urlencode(query), tuple(headers), body)

    def _body(self, value: Any) -> bytes:
        if _JSON.match(self.media_type):
            return msgspec.json.encode(value)
        if self.media_type == _FORM and isinstance(value, Mapping):
            pairs = [(name, _text(each)) for name, given in value.items() for each in _several(given)]
            return urlencode(pairs).encode()
        return _text(value).encode()


class Found(Struct, frozen=True):
    """What a document came to."""

    operations: tuple[Operation, ...] = ()
    left_out: tuple[str, ...] = ()
    """Which operations are no tools, and why."""


def operations(
    document: Document,
    *,
    base_path: str | None = None,
    prefix: str = "",
    only: Collection[str] = (),
    most: int = 50,
) -> Found:
    """The document's operations in its order: at most `most`, `only` those of these names where some are given.

    `base_path` is where the API begins; without it, the path of the document's first server. Raises BadDocument.
    """
    begins = _base_path(document) if base_path is None else base_path.rstrip("/")
    found: list[Operation] = []
    left_out: list[str] = []
    names: set[str] = set()
    for path, method, item in _listed(document):
        shown = f"{method.upper()} {path[:100]}"
        try:
            operation = _operation(document, begins, path, method, item, prefix)
        except BadDocument as error:
            left_out.append(f"{shown}: {error}")
            continue
        if only and operation.name not in only and operation.name.removeprefix(prefix) not in only:
            continue
        if operation.name in names:
            left_out.append(f"{shown}: there is another {operation.name}")
        elif len(found) >= most:
            left_out.append(f"{shown}: there are more than {most}")
        else:
            names.add(operation.name)
            found.append(operation)
    return Found(tuple(found), tuple(left_out))


def _base_path(document: Document) -> str:
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else {}
    url = first.get("url") if isinstance(first, Mapping) else None
    try:
        path = urlsplit(url).path if isinstance(url, str) else ""
    except ValueError:
        path = ""
    return "" if "{" in path or not path.startswith("/") else path.rstrip("/")


def _listed(document: Document) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        if not isinstance(path, str) or not path.startswith("/"):
            continue
        try:
            item = followed(document, item)
        except BadDocument:
            continue
        for method in _METHODS:
            if isinstance(item.get(method), Mapping):
                yield path, method, item


def _operation(
    document: Document, begins: str, path: str, method: str, item: Mapping[str, Any], prefix: str
) -> Operation:
    described = item[method]
    if not _PATH.fullmatch(begins + path):
        raise BadDocument("its path cannot be sent as it is")
    schemas = Schemas(document)
    properties: dict[str, Any] = {}
    required: list[str] = []
    parameters = []
    for given in _parameters(document, item, described):
        parameter, schema, needed = given[0], schemas.taken(given[1]), given[2]
        argument = parameter.name if parameter.name not in properties else f"{parameter.place}_{parameter.name}"
        properties[argument] = schema
        parameters.append(msgspec.structs.replace(parameter, argument=argument))
        if needed:
            required.append(argument)
    placed = {parameter.name for parameter in parameters if parameter.place == "path"}
    missing = set(re.findall(r"\{([^{}]+)\}", path)) - placed
    if missing:
        raise BadDocument(f"its path's {{{min(missing)}}} is described nowhere")
    body, media_type = None, ""
    if described.get("requestBody") is not None:
        request_body = followed(document, described["requestBody"])
        chosen = _media_type(request_body)
        if chosen is not None:
            media_type, media = chosen
            body = "body" if "body" not in properties else "request_body"
            properties[body] = schemas.taken(media.get("schema", {}))
            if request_body.get("required") is True:
                required.append(body)
        elif request_body.get("required") is True:
            raise BadDocument("its body is neither JSON, nor a form, nor text")
    takes: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    if schemas.definitions:
        takes["$defs"] = schemas.definitions
    if len(msgspec.json.encode(takes)) > _LARGEST_SCHEMA:
        takes = {**takes, "properties": {argument: {} for argument in properties}}
        takes.pop("$defs", None)
    summary, told = (_words(described.get(name) or item.get(name)) for name in ("summary", "description"))
    name = named(prefix, described.get("operationId"), method, path)
    return Operation(
        name=name,
        title=summary[:100] or name,
        description=(f"{summary}\n{told}" if summary and told else summary or told or f"{method.upper()} {path}")[
            :_LONGEST_TEXT
        ],
        method=method.upper(),
        path=begins + path,
        parameters=tuple(parameters),
        body=body,
        media_type=media_type,
        takes=takes,
    )


def _parameters(
    document: Document, item: Mapping[str, Any], described: Mapping[str, Any]
) -> Iterator[tuple[Parameter, Any, bool]]:
    """The path item's and the operation's own, which come before it. Raises BadDocument."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for listed in (item.get("parameters", ()), described.get("parameters", ())):
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            raise BadDocument("its parameters are no list")
        for each in listed:
            parameter = followed(document, each)
            name, place = parameter.get("name"), parameter.get("in")
            if not isinstance(name, str) or not name or not isinstance(place, str):
                raise BadDocument("a parameter has no name or no place")
            found[place, name] = parameter
    for (place, name), parameter in found.items():
        needed = place == "path" or parameter.get("required") is True
        if place == "header" and (name.lower() in _NOT_GIVEN or not re.fullmatch(r"[A-Za-z0-9_.-]+", name)):
            continue
        if place not in ("path", "query", "header"):
            if needed:
                raise BadDocument(f"its parameter {name[:64]} is a {place[:20]}")
            continue
        content = parameter.get("content")
        media: Any = next(iter(content.values()), {}) if isinstance(content, Mapping) else {}
        schema = media.get("schema", {}) if isinstance(media, Mapping) and content else parameter.get("schema", {})
        told = _words(parameter.get("description"))
        if told and isinstance(schema, Mapping) and "$ref" not in schema and "description" not in schema:
            schema = {**schema, "description": told[:700]}
        style = str(parameter.get("style") or ("form" if place == "query" else "simple"))
        explode = parameter.get("explode", style == "form") is True
        chosen: Place = "path" if place == "path" else "query" if place == "query" else "header"
        yield Parameter(name, name, chosen, style, explode, bool(content)), schema, needed


def _media_type(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    content = body.get("content")
    offered = {str(kind): media for kind, media in content.items()} if isinstance(content, Mapping) else {}
    for fits in (lambda kind: _JSON.match(kind), lambda kind: kind == _FORM, lambda kind: kind.startswith("text/")):
        for kind, media in offered.items():
            if fits(kind) and kind.isascii() and kind.isprintable() and isinstance(media, Mapping):
                return kind, media
    return None


def named(prefix: str, operation_id: Any, method: str, path: str) -> str:
    """A name that every client takes; one that is too long ends in what tells it from others that begin like it."""
    given = operation_id if isinstance(operation_id, str) and operation_id else f"{method}_{path.strip('/')}"
    name = prefix + re.sub(r"[^A-Za-z0-9_-]+", "_", given).strip("_")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _words(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _simple(parameter: Parameter, value: Any) -> str:
    """In a path or a header (RFC 6570, simple expansion)."""
    if parameter.as_json:
        return msgspec.json.encode(value).decode()
    if isinstance(value, Mapping):
        joined = "=" if parameter.explode else ","
        return ",".join(f"{name}{joined}{_text(each)}" for name, each in value.items())
    return ",".join(_text(each) for each in _several(value))


def _queried(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    name = parameter.name
    if parameter.as_json:
        return [(name, msgspec.json.encode(value).decode())]
    if isinstance(value, Mapping):
        if parameter.style == "deepObject":
            return [(f"{name}[{key}]", _text(each)) for key, each in value.items()]
        if parameter.explode:
            return [(str(key), _text(each)) for key, each in value.items()]
        return [(name, _simple(parameter, value))]
    if isinstance(value, list) and not parameter.explode:
        return [(name, _SEPARATED.get(parameter.style, ",").join(_text(each) for each in value))]
    return [(name, _text(each)) for each in _several(value)]
