"""Another Admin API's routes, run by chat as our own are: planned here, written there.

Rule 1: a plan is made on a mirror of what is there, and what the other would refuse is asked of it beforehand.
Rule 2: a plan is written only if nothing has moved there meanwhile; what was written is taken back where the rest fails.
Rule 3: what was before is remembered here, for undoing; it ends with the process.
Rule 4: node addresses are held to the same rule as our own routes'.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Outbound
from tollkeeper.core.revisions import Change, Revision
from tollkeeper.mcp.tool import Arguments
from tollkeeper.operator import trying
from tollkeeper.operator.admin_client import AdminApi
from tollkeeper.routes.administration import Actor, Administration
from tollkeeper.routes.checking import View, check_nodes
from tollkeeper.routes.nodes import split
from tollkeeper.routes.proposals import Bounds, Proposal, Proposals, Step
from tollkeeper.routes.registry import Invalid
from tollkeeper.routes.resource_schemas import SCHEMAS, without_times
from tollkeeper.stores.memory.revisions import MemoryRevisions

_ORDER = (
    *("secrets", "protos", "upstreams", "services", "plugin_configs", "plugin_metadata", "consumer_groups"),
    *("consumers", "credentials", "global_rules", "routes"),
)
"""What others refer to comes before them, and goes after them."""
_FACE = "elsewhere"
Allowed = Callable[[str], bool]


class Elsewhere:
    """Implements `Desk`. `gateway` is where requests go that the other gate serves, if that is known."""

    def __init__(
        self,
        api: AdminApi,
        outbound: Outbound,
        gateway: str | None,
        allowed: Allowed,
        new_id: Callable[[], str],
        now: Clock,
        bounds: Bounds | None = None,
    ) -> None:
        self._api = api
        self._outbound = outbound
        self._gateway = None if gateway is None else gateway.rstrip("/")
        self.sends = gateway is not None
        self._store = MemoryRevisions()
        self.administration = Administration(self._store, _Nodes(allowed), now, _ignore, _ignore)
        self.proposals = Proposals(self.administration, new_id, now, bounds)
        self._users: set[str] = set()
        """Consumers whose credentials are looked at: each is a request of its own."""
        self._begun = False
        self._turn = asyncio.Lock()

    async def fresh(self) -> None:
        async with self._turn:
            await self._refresh()

    async def propose(self, steps: Sequence[Step], actor: Actor, what: str) -> Proposal:
        async with self._turn:
            self._users |= {step.id.partition("/")[0] for step in steps if step.kind in ("consumers", "credentials")}
            await self._refresh()
            try:
                proposal = self.proposals.propose(steps, actor, what)
            except (TypeError, AttributeError, LookupError):  # of a shape that no resource has
                raise CallerError(
                    "A resource cannot be read: look at what it takes.", code="invalid_proposal"
                ) from None
            try:
                for change in self.proposals.draft(proposal.id).changes():
                    if change.after is not None:
                        await self._api.check(change.kind, change.after)
            except TollkeeperError:
                self.proposals.discard(proposal.id)
                raise
            return proposal

    async def apply(self, id: str, actor: Actor) -> Revision:
        async with self._turn:
            await self._refresh()
            draft = self.proposals.draft(id)
            if draft.revision != self.administration.revision:
                raise CallerError(
                    "The routes have been changed meanwhile; look again.", status=409, code="revision_conflict"
                )
            for change in await self._write(draft.changes()):
                draft.set(change.kind, change.id, change.after)
            return self.proposals.apply(id, actor)

    async def undo(self, number: int, actor: Actor) -> Revision:
        async with self._turn:
            await self._refresh()
            draft = self.administration.undoing(number)
            for change in await self._write(draft.changes()):
                draft.set(change.kind, change.id, change.after)
            done = self.administration.commit(draft, actor, f"undo {number}")
            if done is None:
                raise CallerError(f"Revision {number} has nothing to take back.", status=409, code="revision_conflict")
            return done

    async def plugins(self) -> list[str]:
        return await self._api.plugins()

    async def plugin(self, name: str) -> dict[str, Any]:
        return await self._api.plugin(name)

    async def send(self, given: Arguments) -> dict[str, Any]:
        return await trying.send(self._outbound, self._gateway, given)

    async def _refresh(self) -> None:
        """The mirror becomes as it is there. What others changed since the last look is a revision of theirs."""
        found = {kind: await self._api.all(kind) for kind in _ORDER if kind != "credentials"}
        found["credentials"] = {}
        for user in self._users & found["consumers"].keys():
            found["credentials"] |= await self._api.all("credentials", user)
        if not self._begun:
            self._begun = True
            self._store.begin(found, _FACE)
            self.administration.reload()
            return
        draft = self.administration.draft()
        for kind, of in found.items():
            for id, stored in self.administration.all(kind):
                if id not in of:
                    draft.set(kind, id, None)
                elif without_times(stored.value) != of[id]:
                    draft.set(kind, id, of[id])
            known = dict(self.administration.all(kind))
            for id in of.keys() - known.keys():
                draft.set(kind, id, of[id])
        self.administration.commit(draft, Actor("somebody", _FACE), "changed by others")

    async def _write(self, changes: Sequence[Change]) -> list[Change]:
        """All of them or none; as they are there afterwards: some Admin APIs fill in defaults. Raises TollkeeperError."""
        there = [change for change in changes if change.after is not None]
        gone = [change for change in changes if change.after is None]
        ordered = sorted(there, key=_place) + sorted(gone, key=_place, reverse=True)
        begun: list[Change] = []
        try:
            for change in ordered:
                begun.append(change)  # before it is asked for: without an answer it may have been done
                await self._api.make(change.kind, change.id, change.after)
        except (TollkeeperError, asyncio.CancelledError) as error:
            await asyncio.shield(self._take_back(begun))
            if isinstance(error, CallerError):
                failed = begun[-1]
                raise CallerError(f"{failed.kind}/{failed.id}: {error.message}", code=error.code) from None
            raise
        return [Change(change.kind, change.id, None, await self._api.get(change.kind, change.id)) for change in there]

    async def _take_back(self, changes: Sequence[Change]) -> None:
        for change in reversed(changes):
            with suppress(TollkeeperError):  # what can not be taken back is seen at the next look
                await self._api.make(change.kind, change.id, change.before)


class _Nodes:
    """Implements `Judge`: what the other cannot know. All else it checks itself.

    Names are not looked up: they may mean something else where they are put to use.
    """

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    def check(self, kind: str, id: str, value: dict[str, Any], view: View) -> None:
        self._look(value)

    def _look(self, part: Any) -> None:
        if isinstance(part, str) and part[:8].lower().startswith(("http://", "https://")):
            self._host(_host_of(part))
        for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            self._look(each)
        if isinstance(part, dict) and part.get("nodes"):
            check_nodes(part, self._allowed)
            for host in part["nodes"] if isinstance(part["nodes"], dict) else [each["host"] for each in part["nodes"]]:
                self._host(split(host)[0])

    def _host(self, host: str) -> None:
        local = host.lower().rstrip(".")
        address = "127.0.0.1" if local == "localhost" or local.endswith(".localhost") else host
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return
        if not self._allowed(address):
            raise Invalid(f"{host} is not allowed: its address is in no network of [routing] allow_nodes")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _place(change: Change) -> int:
    return _ORDER.index(change.kind)


def _ignore(*_: Any) -> None:
    """Nothing here is to become effective here."""


assert set(_ORDER) == set(SCHEMAS)
