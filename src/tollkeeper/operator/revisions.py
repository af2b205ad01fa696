"""/api/routes: everything that is configured, as one document; and its revisions: history, difference, undo.

The document is whole, so that it can be applied again; what is told of revisions is without secrets.
"""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tollkeeper.app import App
from tollkeeper.core.errors import CallerError
from tollkeeper.core.revisions import Change, Revision
from tollkeeper.routes import declared, differences
from tollkeeper.routes.administration import Actor
from tollkeeper.routes.assembly import described
from tollkeeper.routes.hiding import hidden

_MOST_BYTES = 64 * 1024 * 1024
_MOST = 500


async def everything(request: Request, app: App) -> object:
    """`{"revision": N, "resources": {kind: {id: value}}}`."""
    administration = app.routes.administration
    values = {kind: {id: each.value for id, each in of.items()} for kind, of in administration.stored.items()}
    return {"revision": administration.revision, "resources": declared.shown(values)}


async def apply(request: Request, app: App) -> object:
    """Makes everything as the body says: `{kind: {id: value}}` or lists. `?dry=1` only tells the difference."""
    dry = request.query_params.get("dry", "0")
    if dry not in ("0", "1"):
        raise CallerError("dry is 1 or 0.", code="invalid_value", param="dry")
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > _MOST_BYTES:
            raise CallerError(f"The body exceeds {_MOST_BYTES} bytes.", status=413, code="request_too_large")
    try:
        wanted = declared.desired(msgspec.json.decode(bytes(received)))
    except (msgspec.DecodeError, RecursionError) as error:
        raise CallerError(f"The body is not JSON: {error}.", code="invalid_body") from None
    administration = app.routes.administration
    draft = administration.planned(wanted)
    administration.check(draft)
    if dry == "1":
        return {
            "revision": administration.revision,
            "changes": _changes(draft.changes()),
            "difference": _lines(draft.changes()),
        }
    done = administration.commit(draft, _actor(request), "apply")
    return {"revision": administration.revision} if done is None else shown(done)


async def history(request: Request, app: App) -> object:
    """`{"data": [revision, …]}`, newest first; `?limit=` up to 500, `?before=` a number."""
    limit = min(_number(request, "limit", 50), _MOST)
    before = _number(request, "before", 0) or None
    return {"data": [shown(each) for each in app.routes.administration.history(limit, before)]}


async def one(request: Request, app: App) -> object:
    """A revision with its difference."""
    return shown(app.routes.administration.revision_of(_which(request)))


async def undo(request: Request, app: App) -> object:
    """Takes it back, as a revision of its own."""
    return shown(app.routes.administration.undo(_which(request), _actor(request)))


async def checks(request: Request, app: App) -> Response:
    """As APISIX's control API tells how nodes fare."""
    found = [described(upstream) for upstream in app.routes.checks.watched()]
    return Response(msgspec.json.encode(found), media_type="application/json")


def shown(revision: Revision) -> dict[str, Any]:
    """A revision as JSON; `at` in Unix milliseconds."""
    return {
        "number": revision.number,
        "at": revision.at,
        "who": revision.who,
        "face": revision.face,
        "what": revision.what,
        "changes": _changes(revision.changes),
        "difference": _lines(revision.changes),
    }


def _changes(changes: "tuple[Change, ...] | list[Change]") -> list[dict[str, Any]]:
    return [
        {"kind": change.kind, "id": change.id, "before": change.before, "after": change.after}
        for change in hidden(changes)
    ]


def _lines(changes: "tuple[Change, ...] | list[Change]") -> str:
    return "\n".join(differences.lines(hidden(changes)))


def _actor(request: Request) -> Actor:
    return Actor(request.headers.get("x-tollkeeper-who", "operator")[:128], "rest")


def _which(request: Request) -> int:
    number = request.path_params["number"]
    if not number.isdecimal() or len(number) > 18:
        raise CallerError(f"There is no revision {number[:32]}.", status=404, code="revision_not_found")
    return int(number)


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if not given.isdecimal() or len(given) > 18:
        raise CallerError(f"{name} is a number.", code="invalid_value", param=name)
    return int(given)
