"""The page at /playground: static files from the package, and what the page must know of this gate to begin."""

import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

import msgspec

from tollkeeper.apis.asked import Api
from tollkeeper.core.call import Reply
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Keys
from tollkeeper.server.requests import Answerer, Request, key_of, method_not_allowed

PATH = "/playground"
_KINDS = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}
_FILES = {"": "index.html", "/playground.css": "playground.css", "/playground.js": "playground.js"}
_READS = frozenset(("GET", "HEAD"))
_HOST = re.compile(rb"[\w.\-\[\]:]+")


class Playground:
    """Answers at its paths."""

    def __init__(
        self,
        keys: Keys,
        list_models: Callable[[Key], Awaitable[list[dict[str, object]]]],
        apis: Callable[[], Mapping[str, Api]],
        socket: Callable[[], str],
    ) -> None:
        self._keys = keys
        self._list_models = list_models
        self._apis = apis
        self._socket = socket

    def places(self) -> dict[bytes, Answerer]:
        """By path."""
        folder = files("tollkeeper.server").joinpath("playground_page")
        found: dict[bytes, Answerer] = {
            f"{PATH}{path}".encode(): _file(folder.joinpath(name).read_bytes(), _KINDS[name.rpartition(".")[2]])
            for path, name in _FILES.items()
        }
        return {**found, f"{PATH}/".encode(): found[PATH.encode()], f"{PATH}/about.json".encode(): self._about}

    async def _about(self, request: Request) -> Reply:
        """What a key may speak to here, and where the socket is. Raises CallerError (401, 405)."""
        if request.method != "GET":
            raise method_not_allowed(frozenset(("GET",)))
        key = key_of(request.named, self._keys)
        about = {
            "socket": self._socket(),
            "models": [model["id"] for model in await self._list_models(key)],
            "apis": [
                {
                    "name": name,
                    "text": api.description.text,
                    "example": api.description.example,
                    "chats": "messages" in api.description.request.get("properties", {}),
                }
                for name, api in self._apis().items()
            ],
        }
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        return Reply(200, headers, msgspec.json.encode(about))


def _file(body: bytes, kind: bytes) -> Answerer:
    async def answer(request: Request) -> Reply:
        if request.method not in _READS:
            raise method_not_allowed(_READS)
        headers = [
            (b"content-type", kind),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", _policy(request.named.get(b"host", b""))),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]
        return Reply(200, headers, body)

    return answer


def _policy(host: bytes) -> bytes:
    """Nothing from elsewhere, nothing inline; sockets to this host are named, as older browsers do not count them to
    'self' (https://www.w3.org/TR/CSP3/#match-url-to-source-expression)."""
    if not _HOST.fullmatch(host):
        raise CallerError("The Host header names no host.", code="invalid_http")
    return (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        b"connect-src 'self' ws://%b wss://%b; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        % (host, host)
    )
