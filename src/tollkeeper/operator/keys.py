"""/api/keys: make, list, show, revoke and rotate keys."""

from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tollkeeper.app import App
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key

_MOST_BYTES = 64 * 1024


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/keys."""

    name: str
    owner: str | None = None
    team: str | None = None
    models: list[str] | None = None
    expires_at: int | None = None
    """Unix milliseconds."""


def shown(key: Key) -> dict[str, Any]:
    """A key without its secret and without its digest."""
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "team": key.team,
        "shown": key.shown + "…",
        "models": key.models,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


async def create(request: Request, app: App) -> object:
    """The new key with its secret, which is never shown again."""
    wanted = await _body(request)
    key, secret = app.key_store.create(
        wanted.name, owner=wanted.owner, team=wanted.team, models=wanted.models, expires_at=wanted.expires_at
    )
    app.keys.refresh()
    app.log.say("key_created", key=key.id, name=key.name)
    return Response(msgspec.json.encode({**shown(key), "key": secret}), 201, media_type="application/json")


async def list_all(request: Request, app: App) -> object:
    """All keys, revoked ones too."""
    return {"data": [shown(key) for key in app.key_store.list()]}


async def show(request: Request, app: App) -> object:
    """One key, by id or name."""
    return shown(app.key_store.get(request.path_params["key"]))


async def revoke(request: Request, app: App) -> object:
    """Ends it at once."""
    key = app.key_store.revoke(request.path_params["key"])
    app.keys.refresh()
    app.log.say("key_revoked", key=key.id, name=key.name)
    return shown(key)


async def rotate(request: Request, app: App) -> object:
    """A new secret; the old one ends at once."""
    key, secret = app.key_store.rotate(request.path_params["key"])
    app.keys.refresh()
    app.log.say("key_rotated", key=key.id, name=key.name)
    return {**shown(key), "key": secret}


async def _body(request: Request) -> NewKey:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > _MOST_BYTES:
            raise CallerError(f"The body exceeds {_MOST_BYTES} bytes.", status=413, code="request_too_large")
    try:
        return msgspec.json.decode(bytes(received), type=NewKey)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CallerError(f"The body is not a new key: {error}.", code="invalid_body") from None
