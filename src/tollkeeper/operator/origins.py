"""Lets the web pages that the config names use the operator port from a browser (https://fetch.spec.whatwg.org/#http-cors-protocol).

A page still needs a key: it is sent as a header by the page, never by the browser on its own, so no cookie is ever allowed.
"""

from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, x-api-key, x-tollkeeper-who, mcp-protocol-version, mcp-method, mcp-name",
    ),
    (b"access-control-max-age", b"600"),
]
_EXPOSED = b"x-request-id, x-api-version, www-authenticate, retry-after"
"""What a page may read of an answer; it finds the issuer of its tokens by one of them."""


class Origins:
    """Around the operator port's app. `allowed` says which origins may use it now."""

    def __init__(self, inner: ASGIApp, allowed: Callable[[], Sequence[str]]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = dict(scope["headers"]).get(b"origin", b"") if scope["type"] == "http" else b""
        if not origin or origin.decode("latin-1") not in self._allowed():
            await self._inner(scope, receive, send)
            return
        told = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *told, (b"access-control-expose-headers", _EXPOSED)]
            await send(message)

        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": [*told, *_PREFLIGHT]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._inner(scope, receive, send_on)
