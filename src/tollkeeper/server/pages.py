"""What the gate says of itself: `/` and `/docs` for people, `/openapi.json` for programs. Nothing comes from elsewhere."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

from tollkeeper.apis import openapi
from tollkeeper.apis.asked import Api, Description
from tollkeeper.core.call import Reply
from tollkeeper.core.version import __version__
from tollkeeper.server.requests import Answerer, Request, method_not_allowed

if TYPE_CHECKING:
    from jinja2 import Template

PATHS = ("/", "/docs", "/openapi.json")
_READS = frozenset(("GET", "HEAD"))
_HTML = b"text/html; charset=utf-8"
_JSON = b"application/json"
_POLICY = b"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HOST = re.compile(rb"[\w.\-\[\]:]{1,255}")
_DEFAULT_HOST = "http://127.0.0.1:9080"
_MOST_EXAMPLE = 400


class Pages:
    """Made for one configuration: what is shown changes with it, whole."""

    def __init__(self, apis: Iterable[Api], *, playground: bool) -> None:
        self._folder = files("tollkeeper.server").joinpath("docs_page")
        self._style = self._folder.joinpath("docs.css").read_bytes()
        self._playground = playground
        described = list(apis)
        self._apis = [api.description for api in described]
        self._document = msgspec.json.encode(openapi.document(described))

    @cached_property
    def _page(self) -> "Template":
        from jinja2 import Environment  # when somebody looks: it takes longer than the rest of a gate's pages

        environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        return environment.from_string(self._folder.joinpath("page.html").read_text("utf-8"))

    def places(self) -> dict[bytes, Answerer]:
        """By path."""
        docs = _answers(self._docs)
        return {
            b"/": _answers(self._first),
            b"/docs": docs,
            b"/docs/": docs,
            b"/docs/docs.css": _answers(lambda request: (b"text/css; charset=utf-8", self._style)),
            b"/openapi.json": _answers(lambda request: (_JSON, self._document)),
        }

    def _docs(self, request: Request) -> tuple[bytes, bytes]:
        address = _address(request)
        shown = [_shown(described, address) for described in self._apis]
        text = self._page.render(
            title="Tollkeeper", version=__version__, apis=shown, address=address, playground=self._playground
        )
        return _HTML, text.encode()

    def _first(self, request: Request) -> tuple[bytes, bytes]:
        """A browser gets the page, a program the same as JSON."""
        if b"text/html" in request.named.get(b"accept", b""):
            return self._docs(request)
        offers: dict[str, Any] = {
            "name": "tollkeeper",
            "version": __version__,
            "models": "/v1/models",
            "apis": [
                {"name": each.name, "path": each.path, "description": each.text, "model": each.model}
                for each in self._apis
            ],
            "docs": "/docs",
            "openapi": "/openapi.json",
        }
        if self._playground:
            offers["playground"] = "/playground"
        return _JSON, msgspec.json.encode(offers)


def _answers(made: Callable[[Request], tuple[bytes, bytes]]) -> Answerer:
    async def answer(request: Request) -> Reply:
        if request.method not in _READS:
            raise method_not_allowed(_READS)
        kind, body = made(request)
        headers = [
            (b"content-type", kind),
            (b"cache-control", b"no-cache"),
            (b"vary", b"accept"),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-security-policy", _POLICY),
        ]
        return Reply(200, headers, body)

    return answer


def _address(request: Request) -> str:
    """Where the reader reached the gate: what a command on the page is to be pointed at."""
    host = request.named.get(b"host", b"")
    if not _HOST.fullmatch(host):
        return _DEFAULT_HOST
    secure = request.named.get(b"x-forwarded-proto", b"") == b"https" or request.scope.get("scheme") == "https"
    return f"{'https' if secure else 'http'}://{host.decode('ascii', 'replace')}"


def _shown(described: Description, address: str) -> dict[str, Any]:
    body = msgspec.json.encode(described.example).decode().replace("'", "'\\''")
    request = _resolved(described.request, described.definitions)
    required = request.get("required", ())
    return {
        "name": described.name,
        "path": described.path,
        "text": described.text,
        "fields": [
            {
                "name": name,
                "type": _kind(field, described.definitions),
                "required": name in required,
                "text": field.get("description", "") if isinstance(field, dict) else "",
            }
            for name, field in request.get("properties", {}).items()
        ],
        "curl": f"curl {address}{described.path} -H 'Authorization: Bearer tk-…' \\\n  -d '{body}'",
        "answer": msgspec.json.encode(described.answer_example).decode()[:_MOST_EXAMPLE],
        "request_schema": _indented({**described.request, **_defined(described)}),
        "answer_schema": _indented(described.answer),
    }


def _defined(described: Description) -> dict[str, Any]:
    return {"components": {"schemas": described.definitions}} if described.definitions else {}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    refers = schema.get("$ref")
    if isinstance(refers, str):
        found: Mapping[str, Any] = definitions.get(refers.rpartition("/")[2], schema)
        return found
    return schema


def _kind(field: Any, definitions: Mapping[str, Any]) -> str:
    """A field's type in a few words."""
    if not isinstance(field, dict):
        return "anything"
    if "$ref" in field:
        name: str = field["$ref"].rpartition("/")[2].rpartition(".")[2]
        return name
    if "enum" in field:
        return " | ".join(msgspec.json.encode(value).decode() for value in field["enum"])
    for name in ("anyOf", "oneOf"):
        if name in field:
            return " | ".join(_kind(each, definitions) for each in field[name])
    kind = field.get("type", "anything")
    if kind == "array" and "items" in field:
        return f"list of {_kind(field['items'], definitions)}"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _indented(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
