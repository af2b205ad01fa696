"""The operator port's ASGI app: Starlette routes, one guard, our errors in one envelope."""

import hmac
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tollkeeper.app import App
from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.dialects import openai_errors
from tollkeeper.operator import keys, usage

Endpoint = Callable[[Request, App], Awaitable[object]]
_OPEN = ("/healthz", "/readyz")


def operator_app(app: App) -> ASGIApp:
    """The routes over `app`, guarded."""

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        async def answer(request: Request) -> Response:
            return _response(await endpoint(request, app))

        return Route(path, answer, methods=[method])

    starlette = Starlette(
        routes=[
            route("/healthz", _alive, "GET"),
            route("/readyz", _ready, "GET"),
            route("/metrics", _metrics, "GET"),
            route("/api/keys", keys.list_all, "GET"),
            route("/api/keys", keys.create, "POST"),
            route("/api/keys/{key}", keys.show, "GET"),
            route("/api/keys/{key}", keys.revoke, "DELETE"),
            route("/api/keys/{key}/rotate", keys.rotate, "POST"),
            route("/api/usage", usage.usage, "GET"),
            route("/api/events", usage.events, "GET"),
        ],
        exception_handlers={
            TollkeeperError: _refused,
            HTTPException: _http_refused,
            Exception: _failed,
        },
    )
    return _Guard(starlette, app.operator_key)


class _Guard:
    """Lets nobody through without the operator key, but for the two probes."""

    def __init__(self, inner: ASGIApp, operator_key: str) -> None:
        self._inner = inner
        self._key = operator_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN or self._admits(dict(scope["headers"])):
            await self._inner(scope, receive, send)
            return
        error = CallerError(
            "The operator key is needed, as X-API-KEY or bearer token. It is in operator.key in the gate's home.",
            status=401,
            code="invalid_api_key",
        )
        await _rendered(error)(scope, receive, send)

    def _admits(self, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"x-api-key")
        if given is None:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer":
                given = b""
        return hmac.compare_digest(given.strip(), self._key)


async def _alive(request: Request, app: App) -> object:
    return {"status": "ok"}


async def _ready(request: Request, app: App) -> object:
    trouble = app.health()
    if trouble is None:
        return {"status": "ok"}
    body = msgspec.json.encode({"status": "unavailable", "reason": trouble})
    return Response(body, 503, media_type="application/json")


async def _metrics(request: Request, app: App) -> object:
    app.observe()
    return Response(app.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _response(answer: object) -> Response:
    if isinstance(answer, Response):
        return answer
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _rendered(error: TollkeeperError) -> Response:
    headers = {name.decode(): value.decode() for name, value in error.headers}
    return Response(openai_errors.body(error), error.status, headers, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, TollkeeperError)
    return _rendered(error)


async def _http_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "There is nothing at this path.", 405: "Not allowed to use this method here."}
    code = {404: "not_found", 405: "method_not_allowed"}
    message = words.get(error.status_code, str(error.detail))
    return _rendered(
        CallerError(
            message,
            status=error.status_code,
            code=code.get(error.status_code),
            headers=tuple((name.encode(), value.encode()) for name, value in (error.headers or {}).items()),
        )
    )


async def _failed(request: Request, error: Exception) -> Response:
    return _rendered(TollkeeperError("The operator port failed; see the gate's log.", code="internal_error"))
