"""The operator port's ASGI app: Starlette routes, one guard, our errors in one envelope."""

import hmac
import sqlite3
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tollkeeper.app import App
from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.dialects import openai_errors
from tollkeeper.mcp.pacing import Pacing
from tollkeeper.operator import (
    budgets,
    described,
    explain,
    exposure,
    health,
    keys,
    proposals,
    resources,
    revisions,
    usage,
    verify,
)
from tollkeeper.operator.admin import PREFIX, admin
from tollkeeper.operator.admin_answers import too_often
from tollkeeper.operator.admin_keys import AdminKeys
from tollkeeper.operator.desks import desk_of
from tollkeeper.operator.mcp import CALLER, mcp
from tollkeeper.operator.oauth import WELL_KNOWN, Caller, OAuth, key_needed, unavailable
from tollkeeper.operator.origins import Origins
from tollkeeper.stores.sqlite.reports import raised

Endpoint = Callable[[Request, App], Awaitable[object]]
_OPEN = (
    *("/healthz", "/readyz"),
    # Documents without a secret, which chat clients import by their address.
    *("/openapi.json", "/openapi.yaml", "/.well-known/ai-plugin.json", "/logo.png"),
)
_ID = "tollkeeper.request_id"


def operator_app(app: App) -> ASGIApp:
    """The routes over `app`, guarded. Raises GateError where the port may not be opened as it is configured."""
    keys_by_file = {app.home / "operator.key": app.operator_key, app.home / "viewer.key": app.viewer_key}
    exposure.check(app.loaded.config.server.operator_host, keys_by_file)
    oauth = OAuth(lambda: app.loaded.config.mcp.oauth, app.client, time.time, time.monotonic)

    def route(path: str, *queries: str, **by_method: Endpoint) -> Route:
        """`queries` are what it may be asked by, with /api/: monitors and clients of APISIX's may say more elsewhere."""

        async def answer(request: Request) -> Response:
            if path.startswith("/api/"):
                _check_queries(request, queries)
            return _response(await by_method["GET" if request.method == "HEAD" else request.method](request, app))

        return Route(path, answer, methods=list(by_method))

    async def administered(request: Request) -> Response:
        return await admin(request, app)

    desk = desk_of(app)
    pacing = Pacing(lambda: app.loaded.config.mcp.calls_per_minute, time.monotonic)

    async def tools(request: Request) -> Response:
        if not app.loaded.config.mcp.enabled:
            raise HTTPException(404)
        return await mcp(request, app, desk, pacing)

    async def protected(request: Request) -> Response:
        document = oauth.metadata(request.path_params["path"])
        if document is None:
            raise HTTPException(404)
        return _response(document)

    async def failed(request: Request, error: Exception) -> Response:
        trace = traceback.extract_tb(error.__traceback__)
        at = f"{Path(trace[-1].filename).name}:{trace[-1].lineno}" if trace else "?"
        app.log.say("internal_error", request_id=request.scope[_ID], error=type(error).__name__, at=at)
        return _rendered(
            TollkeeperError(f"The operator port failed. Request id: {request.scope[_ID]}.", code="internal_error")
        )

    starlette = Starlette(
        routes=[
            route("/healthz", GET=_alive),
            route("/readyz", GET=_ready),
            route("/metrics", GET=_metrics),
            route("/openapi.json", GET=_openapi),
            route("/openapi.yaml", GET=_openapi_yaml),
            route("/.well-known/ai-plugin.json", GET=_manifest),
            route("/logo.png", GET=_logo),
            route("/api/routes", "dry", GET=revisions.everything, PUT=revisions.apply),
            route("/api/routes/revisions", "limit", "before", GET=revisions.history),
            route("/api/routes/revisions/{number}", GET=revisions.one),
            route("/api/routes/revisions/{number}/undo", POST=revisions.undo),
            route("/v1/healthcheck", GET=revisions.checks),
            route("/apisix/prometheus/metrics", GET=_traffic),
            Route(PREFIX + "{rest:path}", administered, methods=["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]),
            route("/api/keys", GET=keys.list_all, POST=keys.create),
            route("/api/keys/{key}", GET=keys.show, PATCH=keys.change, DELETE=keys.revoke),
            route("/api/keys/{key}/rotate", POST=keys.rotate),
            route("/api/budgets", GET=budgets.standings),
            route("/api/usage", "by", "since", "until", GET=usage.usage),
            route("/api/events", *("key", "since", "until", "request_id", "before", "limit"), GET=usage.events),
            route("/api/health", GET=health.targets),
            route("/api/explain/{id}", GET=explain.explain),
            route("/api/verify", GET=verify.verify),
            route("/api/resources/{kind}", "page", GET=resources.list_all),
            route("/api/resources/{kind}/{id:path}", GET=resources.one, PATCH=resources.change),
            route("/api/proposals", GET=proposals.list_all, POST=proposals.propose),
            route("/api/proposals/{id}", GET=proposals.show, DELETE=proposals.discard),
            route("/api/proposals/{id}/apply", POST=proposals.apply),
            Route("/mcp", tools, methods=["GET", "POST", "DELETE"]),
            Route(WELL_KNOWN + "{path:path}", protected, methods=["GET"]),
        ],
        exception_handlers={
            TollkeeperError: _refused,
            HTTPException: _http_refused,
            sqlite3.Error: _store_failed,
            Exception: failed,
        },
    )
    starlette.router.redirect_slashes = False
    guarded = _Guard(
        starlette, app, oauth, Pacing(lambda: app.loaded.config.server.operator_per_minute, time.monotonic)
    )
    return Origins(guarded, lambda: app.loaded.config.mcp.origins)


_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class _Guard:
    """Lets nobody through without a key, or to /mcp a token, but for what is open; gives every request an id."""

    def __init__(self, inner: ASGIApp, app: App, oauth: OAuth, pacing: Pacing) -> None:
        self._inner = inner
        self._pacing = pacing
        self._key = app.operator_key.encode()
        self._viewer = app.viewer_key.encode()
        self._admin = AdminKeys(app.operator_key, app.viewer_key, lambda: app.loaded.config.mcp.origins)
        self._new_id = app.new_id
        self._oauth = oauth
        self._log = app.log

    async def __call__(self, scope: Scope, receive: Receive, send_on: Send) -> None:
        request_id = scope[_ID] = self._new_id()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send_on(message)

        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._inner(scope, receive, send)
            return
        admitted = self._admits(dict(scope["headers"]))
        if scope["path"] == "/mcp":
            if admitted:
                await self._inner(scope, receive, send)
                return
            try:
                scope[CALLER] = await self._caller(dict(scope["headers"]))
            except TollkeeperError as error:
                await _rendered(error)(scope, receive, send)
            else:
                await self._inner(scope, receive, send)
            return
        if not admitted:
            refusal = self._admin.refused(scope) if scope["path"].startswith(PREFIX) else _rendered(key_needed())
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        try:
            # Whoever may only look keeps nobody from working.
            self._pacing.take("operator" if admitted else "others")
        except CallerError as error:
            await (too_often(error) if scope["path"].startswith(PREFIX) else _rendered(error))(scope, receive, send)
            return
        await self._inner(scope, receive, send)

    async def _caller(self, headers: dict[bytes, bytes]) -> Caller:
        """Who comes to /mcp without the operator key. Raises TollkeeperError."""
        if self._views(headers):
            return Caller(False)
        try:
            return await self._oauth.caller(_bearer(headers))
        except CallerError:
            raise
        except TollkeeperError as error:
            self._log.say("issuer_trouble", reason=error.message)
            raise unavailable(error) from None

    def _admits(self, headers: dict[bytes, bytes]) -> bool:
        return hmac.compare_digest(_given(headers), self._key)

    def _views(self, headers: dict[bytes, bytes]) -> bool:
        return hmac.compare_digest(_given(headers), self._viewer)


def _given(headers: dict[bytes, bytes]) -> bytes:
    given = headers.get(b"x-api-key")
    return _bearer(headers) if given is None else given.strip()


def _bearer(headers: dict[bytes, bytes]) -> bytes:
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    return given.strip() if scheme.lower() == b"bearer" else b""


def _is_open(path: str) -> bool:
    return path in _OPEN or path == WELL_KNOWN or path.startswith(WELL_KNOWN + "/")


async def _alive(request: Request, app: App) -> object:
    return {"status": "ok"}


async def _ready(request: Request, app: App) -> object:
    trouble = app.health()
    if trouble is None:
        return {"status": "ok"}
    body = msgspec.json.encode({"status": "unavailable", "reason": trouble})
    return Response(body, 503, media_type="application/json")


async def _metrics(request: Request, app: App) -> object:
    app.observing.flush()
    return Response(app.metrics.text() + app.routes.traffic.text(), media_type=_EXPOSITION)


async def _traffic(request: Request, app: App) -> object:
    return Response(app.routes.traffic.text(), media_type=_EXPOSITION)


async def _openapi(request: Request, app: App) -> object:
    return described.openapi(_address(request))


async def _openapi_yaml(request: Request, app: App) -> object:
    return Response(described.openapi_yaml(_address(request)), media_type="application/yaml")


async def _manifest(request: Request, app: App) -> object:
    return described.manifest(_address(request), app.loaded.config.mcp.contact)


async def _logo(request: Request, app: App) -> object:
    return Response(described.logo(), media_type="image/png")


def _check_queries(request: Request, known: Sequence[str]) -> None:
    """Raises CallerError where one is not known: whoever mistypes `since` does not want the sum of all times."""
    for name in request.query_params:
        if name not in known:
            expected = f"expected one of: {', '.join(known)}" if known else "there are none here"
            raise CallerError(
                f"There is no query {name[:64]!r}; {expected}.", code="unknown_parameter", param=name[:64]
            )


def _address(request: Request) -> str:
    return str(request.base_url).rstrip("/")


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


async def _store_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, sqlite3.Error)
    return _rendered(raised(error))
