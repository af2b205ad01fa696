"""/api/proposals: changes of routes that are shown first, and applied when somebody agrees."""

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tollkeeper.core.revisions import Revision
from tollkeeper.operator.bodies import read
from tollkeeper.routes.administration import Actor
from tollkeeper.routes.differences import lines
from tollkeeper.routes.hiding import hidden
from tollkeeper.routes.proposals import Proposal, Step

if TYPE_CHECKING:
    from tollkeeper.app import App


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/proposals."""

    what: str
    """In a few words, for the history."""
    steps: list[Step]


async def propose(request: Request, app: "App") -> object:
    """`{"what", "steps": [{"do": "put"|"patch"|"delete", "kind", "id", "value"}]}` → the proposal; nothing is changed."""
    wanted = await read(request, Wanted, "a proposal")
    await app.routes.registry.make_ready([[step.value, {step.id: None}] for step in wanted.steps])
    proposal = app.proposals.propose(wanted.steps, actor(request), wanted.what)
    return Response(msgspec.json.encode(shown(proposal)), 201, media_type="application/json")


async def list_all(request: Request, app: "App") -> object:
    """All that wait."""
    return {"data": [shown(proposal) for proposal in app.proposals.waiting()]}


async def show(request: Request, app: "App") -> object:
    """One of them."""
    return shown(app.proposals.get(request.path_params["id"]))


async def apply(request: Request, app: "App") -> object:
    """Makes it so; the revision."""
    return told(app.proposals.apply(request.path_params["id"], actor(request)))


async def discard(request: Request, app: "App") -> object:
    """It will not be."""
    app.proposals.discard(request.path_params["id"])
    return {"discarded": request.path_params["id"]}


def actor(request: Request, face: str = "rest") -> Actor:
    """Who asks, as the request says."""
    return Actor(request.headers.get("x-tollkeeper-who", "operator")[:128], face)


def shown(proposal: Proposal) -> dict[str, Any]:
    """A proposal for JSON."""
    return msgspec.structs.asdict(proposal)


def brief(revision: Revision) -> dict[str, Any]:
    """A revision in a list."""
    return {
        "revision": revision.number,
        "at": revision.at,
        "who": revision.who,
        "face": revision.face,
        "what": revision.what,
        "changed": [f"{change.kind}/{change.id}" for change in revision.changes],
    }


def told(revision: Revision) -> dict[str, Any]:
    """A revision by itself."""
    return {**brief(revision), "difference": "\n".join(lines(hidden(revision.changes)))}
