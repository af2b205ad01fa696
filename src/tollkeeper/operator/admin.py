"""/apisix/admin: APISIX's Admin API over our routes, so that the tools which speak it work unchanged.

Envelopes, statuses and words are APISIX 3.x's (apisix/admin/*.lua).
"""

import math
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tollkeeper.app import App
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.revisions import Stored
from tollkeeper.operator import admin_listing, admin_schemas
from tollkeeper.operator.admin_answers import Refusal, answer
from tollkeeper.routes.administration import Actor
from tollkeeper.routes.resource_schemas import CALLED, SCHEMAS

PREFIX = "/apisix/admin"
MOST_BYTES = 1_572_864
_NOT_OFFERED = {
    "consumers": ("POST", "PATCH"),
    "credentials": ("POST", "PATCH"),
    "global_rules": ("POST",),
    "plugin_configs": ("POST",),
    "consumer_groups": ("POST",),
    "protos": ("PATCH",),
    "plugin_metadata": ("POST", "PATCH"),
    "secrets": ("POST",),
}
_MANAGERS = ("vault", "aws", "gcp")


async def admin(request: Request, app: App) -> Response:
    """Any request below the prefix, from somebody who may."""
    parts = [part for part in request.url.path[len(PREFIX) :].split("/") if part]
    try:
        return await _answered(request, app, parts)
    except Refusal as refusal:
        return answer(refusal.status, refusal.body)
    except CallerError as error:
        if error.code == "resource_not_found":
            return answer(error.status, {"message": error.message})
        return answer(error.status, {"error_msg": error.message})
    except GateError as error:
        return answer(503, {"error_msg": error.message})


async def _answered(request: Request, app: App, parts: list[str]) -> Response:
    method = request.method
    if method == "OPTIONS":
        return Response(headers={"allow": "GET, PUT, POST, PATCH, DELETE, HEAD, OPTIONS"})
    if not parts:
        if method == "HEAD":
            return answer(200, None)
        raise Refusal(404, {"error_msg": "not found"})
    first, rest = parts[0], parts[1:]
    if first in ("plugins", "schema", "configs"):
        return await admin_schemas.answered(first, rest, method, app, lambda: _json(request, app), request.query_params)
    if first == "stream_routes":
        raise Refusal(400, {"error_msg": "stream mode is disabled, can not add stream routes"})
    if first == "ssls":
        if method == "GET" and not rest:
            return answer(200, {"list": [], "total": 0})
        raise Refusal(400, {"error_msg": "TLS is not ended here: put a proxy in front of the gate"})
    kind, prefix = first, ""
    if first == "consumers" and len(rest) > 1 and rest[1] == "credentials":
        kind, prefix, rest = "credentials", rest[0] + "/", rest[2:]
        if app.routes.administration.get("consumers", prefix[:-1]) is None:
            raise Refusal(404, {"error_msg": "consumer not found"})
    elif first == "secrets":
        if not rest or rest[0] not in _MANAGERS:
            if method == "GET" and not rest:
                return admin_listing.listed(_all(app, "secrets", ""), "secrets", request.query_params)
            raise Refusal(400, {"error_msg": f"secret manager not exits, manager: {rest[0] if rest else ''}"})
        prefix, rest = rest[0] + "/", rest[1:]
    elif first not in SCHEMAS:
        raise Refusal(404, {"error_msg": f"Unsupported resource type: {first}"})
    if method in _NOT_OFFERED.get(kind, ()):
        raise Refusal(405, {"error_msg": f"not supported `{method}` method for {CALLED[kind]}"})
    id = rest[0] if rest else None
    if method in ("GET", "HEAD"):
        return _got(request, app, kind, prefix, id)
    if len(rest) > 1 and method in ("PUT", "DELETE"):
        # Whoever mistypes consumers/jack/credentials/1 does not want jack himself to be deleted.
        raise Refusal(400, {"error_msg": f"invalid sub-path: /{'/'.join(rest[1:])}"})
    if method == "DELETE":
        return _deleted(request, app, kind, prefix, id)
    if method == "PUT":
        return await _put(request, app, kind, prefix, id)
    if method == "POST":
        return await _posted(request, app, kind, id)
    if method == "PATCH":
        return await _patched(request, app, kind, prefix, id, tuple(rest[1:]))
    raise Refusal(404, {"error_msg": "not found"})


def _got(request: Request, app: App, kind: str, prefix: str, id: str | None) -> Response:
    if id is None:
        return admin_listing.listed(_all(app, kind, prefix), kind, request.query_params)
    found = app.routes.administration.get(kind, prefix + id)
    if found is None:
        raise Refusal(404, {"message": "Key not found"})
    return answer(200, admin_listing.shown(kind, prefix + id, found))


def _all(app: App, kind: str, prefix: str) -> list[tuple[str, Stored]]:
    found = app.routes.administration.all(kind)
    return [(id, stored) for id, stored in found if id.startswith(prefix)] if prefix else found


def _deleted(request: Request, app: App, kind: str, prefix: str, id: str | None) -> Response:
    if id is None:
        raise Refusal(400, {"error_msg": f"missing {CALLED[kind]} id"})
    administration = app.routes.administration
    draft = administration.draft()
    administration.delete(draft, kind, prefix + id)
    administration.check(draft, force=request.query_params.get("force") == "true")
    administration.commit(draft, _actor(request), f"DELETE {kind}/{prefix}{id}")
    return answer(200, {"deleted": "1", "key": admin_listing.key(kind, prefix + id)})


async def _put(request: Request, app: App, kind: str, prefix: str, id: str | None) -> Response:
    ttl = _ttl(request)
    value = _object(await _json(request, app))
    if kind == "consumers":
        username = value.get("username")
        if isinstance(username, str):
            if id is not None and id != username:
                raise Refusal(400, {"error_msg": "wrong username"})
            id = username
        elif id is None:
            id = ""  # what is wrong with it is said by its schema
    elif id is None:
        given = value.get("id")
        if given is None or kind == "credentials":
            raise Refusal(400, {"error_msg": f"missing {CALLED[kind]} id"})
        id = str(given)
    else:
        named = prefix + id if kind == "secrets" else id  # a secret is called by its manager's name too
        if "id" in value and str(value["id"]) not in (id, named):
            raise Refusal(400, {"error_msg": f"wrong {CALLED[kind]} id"})
        value["id"] = named
    administration = app.routes.administration
    full = prefix + id
    new = administration.get(kind, full) is None
    draft = administration.draft()
    value = administration.put(draft, kind, full, value, ttl)
    administration.check(draft)
    administration.commit(draft, _actor(request), f"PUT {kind}/{full}")
    return answer(201 if new else 200, {"key": admin_listing.key(kind, full), "value": value})


async def _posted(request: Request, app: App, kind: str, id: str | None) -> Response:
    ttl = _ttl(request)
    value = _object(await _json(request, app))
    if id is not None or "id" in value:
        raise Refusal(400, {"error_msg": f"wrong {CALLED[kind]} id, do not need it"})
    administration = app.routes.administration
    draft = administration.draft()
    id = f"{draft.revision + 1:020d}"
    while administration.get(kind, id) is not None:
        id = f"{int(id) + 1:020d}"
    value = administration.put(draft, kind, id, {**value, "id": id}, ttl)
    administration.check(draft)
    administration.commit(draft, _actor(request), f"POST {kind}/{id}")
    return answer(201, {"key": admin_listing.key(kind, id), "value": value})


async def _patched(
    request: Request, app: App, kind: str, prefix: str, id: str | None, path: tuple[str, ...]
) -> Response:
    if id is None:
        raise Refusal(400, {"error_msg": f"missing {CALLED[kind]} id"})
    body = await _json(request, app, "missing new configuration")
    administration = app.routes.administration
    full = prefix + id
    draft = administration.draft()
    value = administration.patch(draft, kind, full, body, path)
    administration.check(draft)
    administration.commit(draft, _actor(request), f"PATCH {'/'.join((kind, full, *path))}")
    return answer(200, {"key": admin_listing.key(kind, full), "value": value})


def _actor(request: Request) -> Actor:
    return Actor(request.headers.get("x-tollkeeper-who", "operator")[:128], "admin")


def _ttl(request: Request) -> float | None:
    given = request.query_params.get("ttl")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise Refusal(400, {"error_msg": "invalid argument ttl: should be a number"})
    return seconds


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, {"error_msg": "invalid configuration: wrong type: expected object"})
    return value


async def _json(request: Request, app: App, missing: str = "missing configurations") -> Any:
    """The body, whatever content type it says. Raises Refusal."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MOST_BYTES:
            size = request.headers.get("content-length", len(received))
            words = f"request size {size} is greater than the maximum size {MOST_BYTES} allowed"
            raise Refusal(400, {"error_msg": f"invalid request body: {words}"})
    if not received:
        raise Refusal(400, {"error_msg": missing})
    try:
        value = msgspec.json.decode(bytes(received))
    except (msgspec.DecodeError, RecursionError) as error:
        text = bytes(received).decode("utf-8", "replace")
        raise Refusal(400, {"error_msg": f"invalid request body: {error}", "req_body": text}) from None
    await app.routes.registry.make_ready([value, dict.fromkeys(request.url.path.split("/"))])
    return value
