"""Changes that are proposed, looked at, and applied only when somebody agrees: how chat may change routes.

A proposal is checked as a whole when it is made, and shown as a difference with its effect. It is applied by its id, and
only if nothing has moved meanwhile. What was applied is a revision like any other, and can be undone.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import Clock
from tollkeeper.core.limits import Positive
from tollkeeper.core.revisions import Revision
from tollkeeper.routes.administration import Actor, Administration
from tollkeeper.routes.differences import lines
from tollkeeper.routes.drafts import Draft
from tollkeeper.routes.effects import effects
from tollkeeper.routes.hiding import HIDDEN, hidden
from tollkeeper.routes.resource_schemas import SCHEMAS


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One change of one resource."""

    do: Literal["put", "patch", "delete"]
    kind: str
    id: str
    value: dict[str, Any] | None = None
    """The whole resource to put, or what to merge into it."""


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[routing.proposals]: how much may be proposed."""

    steps: Positive = 50
    """In one proposal."""
    bytes: Positive = 262_144
    """Of one proposal's steps, as JSON."""
    kept: Positive = 100
    """Proposals that wait; the oldest is forgotten for a new one."""
    seconds: Annotated[float, Meta(gt=0)] = 3600.0
    """For which a proposal can be applied."""


class Proposal(Struct, frozen=True, kw_only=True):
    """What would be changed. `difference` and `effects` are for people, without secrets."""

    id: str
    at: int
    """Unix milliseconds."""
    who: str
    face: str
    what: str
    revision: int
    """The newest when it was made: it counts only on top of that."""
    difference: str
    effects: tuple[str, ...]


class Proposals:
    """Those that wait for an agreement. They are forgotten when the gate ends."""

    def __init__(
        self, administration: Administration, new_id: Callable[[], str], now: Clock, bounds: Bounds | None = None
    ) -> None:
        self.bounds = bounds or Bounds()
        self._administration = administration
        self._new_id = new_id
        self._now = now
        self._waiting: OrderedDict[str, tuple[Proposal, Draft]] = OrderedDict()

    def propose(self, steps: Sequence[Step], actor: Actor, what: str) -> Proposal:
        """Checks all steps together and keeps them. Raises CallerError (400, 404) with what is wrong, word for word."""
        bounds = self.bounds
        if not 0 < len(steps) <= bounds.steps:
            raise CallerError(f"A proposal has 1 to {bounds.steps} steps.", code="invalid_proposal")
        if len(msgspec.json.encode(steps)) > bounds.bytes:
            raise CallerError(f"A proposal has {bounds.bytes} bytes at most.", code="invalid_proposal")
        draft = self._administration.draft()
        for step in steps:
            self._take(draft, step)
        self._administration.check(draft)
        changes = draft.changes()
        if not changes:
            raise CallerError("It is so already: nothing would change.", code="invalid_proposal")
        proposal = Proposal(
            id=self._new_id(),
            at=int(self._now() * 1000),
            who=actor.who,
            face=actor.face,
            what=what[:200],
            revision=draft.revision,
            difference="\n".join(lines(hidden(changes))),
            effects=tuple(effects(changes, draft)),
        )
        self._waiting[proposal.id] = (proposal, draft)
        while len(self._waiting) > bounds.kept:
            self._waiting.popitem(last=False)
        return proposal

    def waiting(self) -> list[Proposal]:
        """All that can be applied, newest first."""
        self._forget()
        return [proposal for proposal, _ in reversed(self._waiting.values())]

    def get(self, id: str) -> Proposal:
        """Raises CallerError (404)."""
        return self._found(id)[0]

    def draft(self, id: str) -> Draft:
        """What it would change. Raises CallerError (404)."""
        return self._found(id)[1]

    def apply(self, id: str, actor: Actor) -> Revision:
        """Makes it so. Raises CallerError: 404; 409 where something was changed since; and GateError."""
        proposal, draft = self._found(id)
        done = self._administration.commit(draft, actor, proposal.what)
        del self._waiting[id]
        if done is None:
            raise CallerError("It is so already: nothing would change.", status=409, code="revision_conflict")
        return done

    def discard(self, id: str) -> None:
        """It will not be. Raises CallerError (404)."""
        self._found(id)
        del self._waiting[id]

    def _take(self, draft: Draft, step: Step) -> None:
        administration = self._administration
        if step.kind not in SCHEMAS:
            raise CallerError(f"Unsupported resource type: {step.kind}", code="invalid_proposal", param=step.kind)
        if step.do == "delete":
            administration.delete(draft, step.kind, step.id)
            return
        if step.value is None:
            raise CallerError(f"{step.kind}/{step.id}: a {step.do} needs a value.", code="invalid_proposal")
        if HIDDEN[:-1] in msgspec.json.encode(step.value).decode():
            raise CallerError(
                f"{step.kind}/{step.id}: a secret that was hidden cannot be put back; patch only what is to change.",
                code="invalid_proposal",
            )
        if step.do == "patch":
            administration.patch(draft, step.kind, step.id, step.value)
            return
        value = dict(step.value)
        for time in ("create_time", "update_time"):
            value.pop(time, None)  # a model that was shown a resource gives it back with its times
        if step.kind == "consumers":
            value.setdefault("username", step.id)
        elif step.kind not in ("plugin_metadata", "credentials"):
            value.setdefault("id", step.id)
        administration.put(draft, step.kind, step.id, value)

    def _found(self, id: str) -> tuple[Proposal, Draft]:
        self._forget()
        found = self._waiting.get(id)
        if found is None:
            raise CallerError(
                f"There is no proposal {id[:64]}: it was applied, discarded, or has waited too long.",
                status=404,
                code="proposal_not_found",
            )
        return found

    def _forget(self) -> None:
        oldest = int((self._now() - self.bounds.seconds) * 1000)
        for id in [id for id, (proposal, _) in self._waiting.items() if proposal.at < oldest]:
            del self._waiting[id]
