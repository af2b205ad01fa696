"""/api/resources: routes, upstreams, consumers, … as a chat may see them: without the secrets that the Admin API shows."""

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request

from tollkeeper.core.errors import CallerError
from tollkeeper.core.revisions import Stored
from tollkeeper.operator import bodies
from tollkeeper.routes.administration import Actor, Administration
from tollkeeper.routes.hiding import HIDDEN, shown
from tollkeeper.routes.resource_schemas import SCHEMAS

if TYPE_CHECKING:
    from tollkeeper.app import App

PAGE = 50


async def list_all(request: Request, app: "App") -> object:
    """?page=; `{"total", "resources": [{"id", "value", "revision", "face"}]}`, 50 a page, oldest first."""
    page = request.query_params.get("page", "1")
    if not (page.isdecimal() and 0 < len(page) < 10):
        raise CallerError("page must be a number.", code="invalid_value", param="page")
    return listed(app.routes.administration, request.path_params["kind"], int(page))


async def one(request: Request, app: "App") -> object:
    """One of them."""
    return single(app.routes.administration, request.path_params["kind"], request.path_params["id"])


async def change(request: Request, app: "App") -> object:
    """Body: what is merged into one of them; null takes a field away. Answers as `one`."""
    kind, id = request.path_params["kind"], request.path_params["id"]
    given = await bodies.read(request, dict[str, Any], "an object")
    if HIDDEN[:-1] in msgspec.json.encode(given).decode():
        raise CallerError("A secret that was hidden cannot be put back.", code="invalid_value")
    administration = app.routes.administration
    single(administration, kind, id)
    draft = administration.draft()
    administration.patch(draft, kind, id, given)
    administration.check(draft)
    who = request.headers.get("x-tollkeeper-who", "operator")[:128]
    administration.commit(draft, Actor(who, "rest"), f"PATCH {kind}/{id}")
    return single(administration, kind, id)


def listed(administration: Administration, kind: str, page: int) -> dict[str, Any]:
    """Raises CallerError (404) where there is no such kind."""
    if kind not in SCHEMAS:
        raise CallerError(f"Unsupported resource type: {kind[:64]}", status=404, code="resource_not_found")
    found = administration.all(kind)
    first = (max(page, 1) - 1) * PAGE
    return {"total": len(found), "resources": [_told(id, stored) for id, stored in found[first : first + PAGE]]}


def single(administration: Administration, kind: str, id: str) -> dict[str, Any]:
    """Raises CallerError (404)."""
    stored = administration.get(kind, id)
    if stored is None:
        raise CallerError("Key not found", status=404, code="resource_not_found")
    return _told(id, stored)


def _told(id: str, stored: Stored) -> dict[str, Any]:
    return {"id": id, "value": shown(stored.value), "revision": stored.modified, "face": stored.face}
