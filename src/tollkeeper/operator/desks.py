"""Where chat's changes go: the gate's own routes, or those of another Admin API. The tools are the same over both."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tollkeeper.core.revisions import Revision
from tollkeeper.mcp.tool import Arguments, Refused
from tollkeeper.operator import trying
from tollkeeper.routes.administration import Actor, Administration
from tollkeeper.routes.proposals import Proposal, Proposals, Step
from tollkeeper.upstream.nodes import Allowed

if TYPE_CHECKING:
    from tollkeeper.app import App


class Desk(Protocol):
    """Routes and the like, and how they are changed. All of it raises TollkeeperError with words for the model."""

    administration: Administration
    """To be looked at, once it is `fresh`."""
    proposals: Proposals
    sends: bool
    """Whether requests can be sent through the gate that it is about."""

    async def fresh(self) -> None:
        """What is there now is known."""
        ...

    async def propose(self, steps: Sequence[Step], actor: Actor, what: str) -> Proposal:
        """Changes nothing."""
        ...

    async def apply(self, id: str, actor: Actor) -> Revision: ...

    async def undo(self, number: int, actor: Actor) -> Revision: ...

    async def plugins(self) -> list[str]:
        """By name."""
        ...

    async def plugin(self, name: str) -> dict[str, Any]:
        """What it takes: `{"schema", …}`. Raises Refused where there is none of that name."""
        ...

    async def send(self, given: Arguments) -> dict[str, Any]:
        """See `trying.send`."""
        ...


def desk_of(app: "App") -> Desk:
    """As the config says: the gate's own, or [mcp.admin]'s."""
    admin, key = app.loaded.config.mcp.admin, app.loaded.admin_key
    if admin is None or key is None:
        return OwnDesk(app)
    from tollkeeper.operator.admin_client import AdminApi  # few gates have another's routes in their care
    from tollkeeper.operator.elsewhere import Elsewhere

    routing = app.loaded.config.routing
    allowed = Allowed(routing.allow_nodes)
    api = AdminApi(app.client, admin.url, key)
    return Elsewhere(api, app.client, admin.gateway, allowed, app.new_id, time.time, routing.proposals)


class OwnDesk:
    """Implements `Desk` for the gate's own routes."""

    def __init__(self, app: "App") -> None:
        self.administration = app.routes.administration
        self.proposals = app.proposals
        self.sends = True
        self._registry = app.routes.registry
        self._app = app

    async def fresh(self) -> None:
        pass

    async def propose(self, steps: Sequence[Step], actor: Actor, what: str) -> Proposal:
        await self._registry.make_ready([[step.value, {step.id: None}] for step in steps])
        return self.proposals.propose(steps, actor, what)

    async def apply(self, id: str, actor: Actor) -> Revision:
        return self.proposals.apply(id, actor)

    async def undo(self, number: int, actor: Actor) -> Revision:
        return self.administration.undo(number, actor)

    async def plugins(self) -> list[str]:
        return list(await asyncio.to_thread(self._registry.all))  # which imports those that nobody has used yet

    async def plugin(self, name: str) -> dict[str, Any]:
        found = await asyncio.to_thread(self._registry.get, name)
        if found is None:
            raise Refused(f"unknown plugin [{name}]")
        return {"schema": found.schema, "consumer_schema": found.consumer_schema, "priority": found.priority}

    async def send(self, given: Arguments) -> dict[str, Any]:
        app = self._app
        return await trying.send(app.client, app.gate_url, given, app.loaded.config.mcp.test_answer_bytes)
