"""The one way to change routes, whichever face asks: checked as a whole, written as one revision, effective at once.

Transport-free: the Admin API, the command line, the config and chat are faces over it. Resources keep APISIX's form; times
and ids are put in here. `Actor` says who asks and by which face, and every revision remembers it.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import Clock
from tollkeeper.core.revisions import Change, Revision, Revisions, Stored
from tollkeeper.routes.checking import Judge
from tollkeeper.routes.drafts import Draft
from tollkeeper.routes.resource_schemas import SCHEMAS

_TIMES = ("create_time", "update_time")
_BEYOND = 1 << 62
"""More revisions than there will be: a store takes numbers up to about that."""
NOT_FOUND = "Key not found"
Desired = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Resources by kind and id, as a file has them."""


class Actor(Struct, frozen=True):
    """Who changes something."""

    who: str
    face: str


class Administration:
    """Reads and changes resources."""

    def __init__(
        self,
        store: Revisions,
        checker: Judge,
        now: Clock,
        put: Callable[[str, str, Mapping[str, Any]], None],
        remove: Callable[[str, str], None],
    ) -> None:
        self.checker = checker
        self._store = store
        self._now = now
        self._put = put
        self._remove = remove
        self.stored: dict[str, dict[str, Stored]] = {}
        self.revision = 0
        """The newest."""
        self._values: dict[str, dict[str, dict[str, Any]]] = {}

    # --- reading ----------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Reads everything from the store and makes effective what differs."""
        stored, self.revision = self._store.load()
        before, self.stored = self._values, stored
        self._values = {kind: {id: each.value for id, each in of.items()} for kind, of in stored.items()}
        for kind in _in_order({*before, *self._values}):
            old, new = before.get(kind, {}), self._values.get(kind, {})
            for id in [id for id in old if id not in new]:
                self._remove(kind, id)
            for id, value in new.items():
                if old.get(id) != value:
                    self._put(kind, id, value)

    def poll(self) -> None:
        """Notices what another process changed, and what has expired."""
        if self._store.newest() != self.revision:
            self.reload()
        now = int(self._now() * 1000)
        gone = [
            (kind, id)
            for kind, of in self.stored.items()
            for id, each in of.items()
            if each.expires_at is not None and each.expires_at <= now
        ]
        if gone:
            draft = self.draft()
            for kind, id in gone:
                draft.set(kind, id, None)
            self.commit(draft, Actor("ttl", "gate"), "expire " + " ".join(f"{kind}/{id}" for kind, id in gone[:3]))

    def get(self, kind: str, id: str) -> Stored | None:
        """One resource."""
        return self.stored.get(kind, {}).get(id)

    def all(self, kind: str) -> list[tuple[str, Stored]]:
        """All of a kind, oldest first."""
        return list(self.stored.get(kind, {}).items())

    def history(self, limit: int = 50, before: int | None = None) -> list[Revision]:
        """Revisions, newest first."""
        return self._store.history(limit, None if before is None else min(before, _BEYOND))

    def revision_of(self, number: int) -> Revision:
        """One revision. Raises CallerError (404)."""
        found = self._store.get(number) if 0 < number < _BEYOND else None
        if found is None:
            raise CallerError(f"There is no revision {number}.", status=404, code="revision_not_found")
        return found

    # --- changing ---------------------------------------------------------------------------------------------------

    def draft(self) -> Draft:
        """Changes to be: on top of what is now."""
        return Draft(self._values, self.revision)

    def put(
        self, draft: Draft, kind: str, id: str, value: Mapping[str, Any], ttl: float | None = None
    ) -> dict[str, Any]:
        """The whole resource anew, times and all. Raises CallerError where times were sent."""
        for part in (value, value.get("upstream") if isinstance(value.get("upstream"), dict) else {}):
            for name in _TIMES:
                if name in (part or {}):
                    raise CallerError(f"the property is forbidden: {name}", code="invalid_resource")
        return self._timed(draft, kind, id, dict(value), ttl)

    def patch(self, draft: Draft, kind: str, id: str, change: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
        """Merged into what is there; or what is at `path` replaced. Raises CallerError (404, 400)."""
        before = draft.get(kind, id)
        if before is None:
            raise CallerError(NOT_FOUND, status=404, code="resource_not_found")
        value: dict[str, Any] = copy.deepcopy(before)
        if not path:
            if not isinstance(change, dict):
                raise CallerError("invalid configuration", code="invalid_resource")
            value = merged(value, change)
        else:
            at = value
            for part in path[:-1]:
                at = at.setdefault(part, {})
                if not isinstance(at, dict):
                    raise CallerError(f"invalid sub-path: /{'/'.join(path)}", code="invalid_resource")
            if change is None:
                at.pop(path[-1], None)
            elif isinstance(change, dict) and isinstance(at.get(path[-1]), dict):
                at[path[-1]] = merged(at[path[-1]], change)
            else:
                at[path[-1]] = change
        if kind not in ("plugin_metadata", "consumers", "credentials"):
            value["id"] = id
        return self._timed(draft, kind, id, value, None)

    def delete(self, draft: Draft, kind: str, id: str) -> None:
        """Away with it, and with a consumer's credentials. Raises CallerError (404)."""
        if draft.get(kind, id) is None:
            raise CallerError(NOT_FOUND, status=404, code="resource_not_found")
        draft.set(kind, id, None)
        if kind == "consumers":
            for credential, _ in list(draft.all("credentials")):
                if credential.partition("/")[0] == id:
                    draft.set("credentials", credential, None)

    def check(self, draft: Draft, *, force: bool = False) -> None:
        """Raises CallerError (400) where something of it cannot be; `force` lets go what others still refer to."""
        draft.check(self.checker, force=force)

    def commit(self, draft: Draft, actor: Actor, what: str) -> Revision | None:
        """Makes a checked draft count; None where it changes nothing.

        Raises CallerError (409) where something else was changed since it was begun, and GateError.
        """
        changes = draft.changes()
        if not changes:
            return None
        return self._written(changes, draft.revision, actor, what)

    def apply(self, desired: Desired, actor: Actor, what: str, *, owned: str | None = None) -> Revision | None:
        """Makes everything as `desired` says. None where it is so already. Raises CallerError with the first problem.

        What is not in it is deleted: all of it, or only what this face (`owned`) set last.
        """
        draft = self.planned(desired, owned=owned)
        self.check(draft)
        return self.commit(draft, actor, what)

    def planned(self, desired: Desired, *, owned: str | None = None) -> Draft:
        """The draft that `apply` would check and commit."""
        draft = self.draft()
        for kind in SCHEMAS:
            wanted = desired.get(kind, {})
            for id, stored in self.stored.get(kind, {}).items():
                if id not in wanted and (owned is None or stored.face == owned):
                    draft.set(kind, id, None)
            for id, given in wanted.items():
                value = {**given, **_identified(kind, id, given)}
                before = draft.get(kind, id)
                if before is None or {name: each for name, each in before.items() if name not in _TIMES} != value:
                    self.put(draft, kind, id, value)
        return draft

    def undo(self, number: int, actor: Actor) -> Revision:
        """Takes back what revision `number` did, as a revision of its own.

        Raises CallerError: 404; 409 where something of it was changed since; 400 where what was cannot be again.
        """
        done = self.commit(self.undoing(number), actor, f"undo {number}")
        if done is None:
            raise CallerError(f"Revision {number} has nothing to take back.", status=409, code="revision_conflict")
        return done

    def undoing(self, number: int) -> Draft:
        """The draft that `undo` would commit. Raises as that does."""
        draft = self.draft()
        for change in self.revision_of(number).changes:
            if draft.get(change.kind, change.id) != change.after:
                raise CallerError(
                    f"{change.kind}/{change.id} has been changed since revision {number}; undo that first.",
                    status=409,
                    code="revision_conflict",
                )
            draft.set(change.kind, change.id, change.before)
        self.check(draft)
        return draft

    def _timed(self, draft: Draft, kind: str, id: str, value: dict[str, Any], ttl: float | None) -> dict[str, Any]:
        before = draft.get(kind, id)
        now = int(self._now())
        if kind != "plugin_metadata":
            value.setdefault("create_time", now if before is None else before.get("create_time", now))
            value["update_time"] = now
        draft.set(kind, id, value, None if ttl is None else int((self._now() + ttl) * 1000))
        return value

    def _written(self, changes: Iterable[Change], after: int, actor: Actor, what: str) -> Revision:
        done = self._store.commit(
            list(changes), at=int(self._now() * 1000), who=actor.who, face=actor.face, what=what, after=after
        )
        self.revision = done.number
        order = {kind: place for place, kind in enumerate(_in_order({change.kind for change in done.changes}))}
        for change in sorted(done.changes, key=lambda each: (each.after is None, order[each.kind])):
            stored, values = self.stored.setdefault(change.kind, {}), self._values.setdefault(change.kind, {})
            if change.after is None:
                stored.pop(change.id, None)
                values.pop(change.id, None)
                self._remove(change.kind, change.id)
            else:
                before = stored.get(change.id)
                created = done.number if before is None else before.created
                stored[change.id] = Stored(change.after, created, done.number, actor.face, change.expires_at)
                values[change.id] = change.after
                self._put(change.kind, change.id, change.after)
        return done


def merged(value: Any, change: Any) -> Any:
    """RFC 7396: null takes away, objects merge, everything else replaces."""
    if not isinstance(change, dict):
        return change
    found = dict(value) if isinstance(value, dict) else {}
    for name, each in change.items():
        if each is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), each)
    return found


def _identified(kind: str, id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "consumers":
        return {"username": given.get("username", id)}
    if kind == "credentials":
        return {"id": id.partition("/")[2]}
    return {} if kind == "plugin_metadata" else {"id": given.get("id", id)}


def _in_order(kinds: Iterable[str]) -> list[str]:
    """Services before the routes that take their hosts from them."""
    return sorted(kinds, key=lambda kind: (kind == "routes", kind))
