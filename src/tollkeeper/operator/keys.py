"""/api/keys: make, list, show, change, revoke and rotate keys."""

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tollkeeper.core import budget, rate
from tollkeeper.core.keys import Key
from tollkeeper.operator.bodies import read

if TYPE_CHECKING:  # commands of the terminal use what is here without a server
    from starlette.requests import Request

    from tollkeeper.app import App

_MOST_BYTES = 64 * 1024


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/keys."""

    name: str
    owner: str | None = None
    team: str | None = None
    models: list[str] | None = None
    expires_at: int | None = None
    """Unix milliseconds."""
    budgets: list[str] = []
    """Each like "5 USD/month"."""
    limits: list[str] = []
    """Each like "60 requests/minute"."""


class Changes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH /api/keys/{key}: what is left out stays, null takes away, a list replaces the whole list."""

    name: str | UnsetType = UNSET
    owner: str | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    models: list[str] | UnsetType | None = UNSET
    expires_at: int | UnsetType | None = UNSET
    budgets: list[str] | UnsetType = UNSET
    limits: list[str] | UnsetType = UNSET


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
        "budgets": [budget.shown(each) for each in key.budgets],
        "limits": [rate.shown(each) for each in key.limits],
    }


async def create(request: "Request", app: "App") -> object:
    """The new key with its secret, which is never shown again."""
    wanted = await read(request, NewKey, "a new key", _MOST_BYTES)
    key, secret = app.key_store.create(**msgspec.structs.asdict(wanted))
    app.keys.refresh()
    app.log.say("key_created", key=key.id, name=key.name)
    from starlette.responses import Response

    return Response(msgspec.json.encode({**shown(key), "key": secret}), 201, media_type="application/json")


async def list_all(request: "Request", app: "App") -> object:
    """All keys, revoked ones too."""
    return {"data": [shown(key) for key in app.key_store.list()]}


async def show(request: "Request", app: "App") -> object:
    """One key, by id or name."""
    return shown(app.key_store.get(request.path_params["key"]))


async def change(request: "Request", app: "App") -> object:
    """Other fields for the same key, from its next call on; what it has spent stays."""
    wanted = msgspec.structs.asdict(await read(request, Changes, "the changes of a key", _MOST_BYTES))
    changes = {field: value for field, value in wanted.items() if value is not UNSET}
    key = app.key_store.change(request.path_params["key"], changes)
    app.keys.refresh()
    app.log.say("key_changed", key=key.id, name=key.name, fields=",".join(changes))
    return shown(key)


async def revoke(request: "Request", app: "App") -> object:
    """Ends it at once."""
    key = app.key_store.revoke(request.path_params["key"])
    app.keys.refresh()
    app.log.say("key_revoked", key=key.id, name=key.name)
    return shown(key)


async def rotate(request: "Request", app: "App") -> object:
    """A new secret; the old one ends at once."""
    key, secret = app.key_store.rotate(request.path_params["key"])
    app.keys.refresh()
    app.log.say("key_rotated", key=key.id, name=key.name)
    return {**shown(key), "key": secret}
