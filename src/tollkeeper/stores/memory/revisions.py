"""Resources and their revisions in this process's memory: of routes that are kept elsewhere, and in tests."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from tollkeeper.core.errors import CallerError
from tollkeeper.core.revisions import Change, Revision, Stored


class MemoryRevisions:
    """Implements `core.revisions.Revisions`. Nothing of it outlives the process."""

    def __init__(self, *, keep: int = 1000) -> None:
        self._resources: dict[str, dict[str, Stored]] = {}
        self._revisions: deque[Revision] = deque(maxlen=keep)
        self._newest = 0

    def begin(self, values: Mapping[str, Mapping[str, dict[str, Any]]], face: str) -> None:
        """What was there before the first revision."""
        self._resources = {
            kind: {id: Stored(value, 0, 0, face) for id, value in of.items()} for kind, of in values.items()
        }

    def load(self) -> tuple[dict[str, dict[str, Stored]], int]:
        return {kind: dict(of) for kind, of in self._resources.items()}, self._newest

    def commit(self, changes: Sequence[Change], *, at: int, who: str, face: str, what: str, after: int) -> Revision:
        if after != self._newest:
            raise CallerError(
                "The routes have been changed meanwhile; look again.", status=409, code="revision_conflict"
            )
        self._newest = number = after + 1
        for change in changes:
            of = self._resources.setdefault(change.kind, {})
            if change.after is None:
                of.pop(change.id, None)
            else:
                before = of.get(change.id)
                created = number if before is None else before.created
                of[change.id] = Stored(change.after, created, number, face, change.expires_at)
        done = Revision(number, at, who, face, what, tuple(changes))
        self._revisions.append(done)
        return done

    def history(self, limit: int, before: int | None = None) -> list[Revision]:
        found = [each for each in reversed(self._revisions) if before is None or each.number < before]
        return found[:limit]

    def get(self, number: int) -> Revision | None:
        return next((each for each in self._revisions if each.number == number), None)

    def newest(self) -> int:
        return self._newest
