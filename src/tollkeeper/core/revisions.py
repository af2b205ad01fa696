"""Resources of ordinary routes as they are stored, and the revisions that made them so; and the port to where they are."""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct


class Stored(Struct, frozen=True):
    """One resource: APISIX's JSON, and what is known of it."""

    value: dict[str, Any]
    created: int
    """The revision that made it."""
    modified: int
    """The revision that changed it last."""
    face: str
    """Where that change came from: admin, config, file, chat, …"""
    expires_at: int | None = None
    """Unix milliseconds."""


class Change(Struct, frozen=True):
    """What a revision did to one resource."""

    kind: str
    id: str
    before: dict[str, Any] | None
    """None: it was not there."""
    after: dict[str, Any] | None
    """None: it is deleted."""
    expires_at: int | None = None


class Revision(Struct, frozen=True):
    """One step from one state of all resources to the next."""

    number: int
    at: int
    """Unix milliseconds."""
    who: str
    face: str
    what: str
    """In a few words: PUT routes/1, undo 17."""
    changes: tuple[Change, ...]


class Revisions(Protocol):
    """Keeps resources and revisions. Changes are on disk when `commit` returns."""

    def load(self) -> tuple[dict[str, dict[str, Stored]], int]:
        """All resources by kind and id, oldest first; and the number of the newest revision, 0 where there is none."""
        ...

    def commit(self, changes: Sequence[Change], *, at: int, who: str, face: str, what: str, after: int) -> Revision:
        """Makes one revision of all changes. Raises CallerError (409) where the newest is not `after` now, GateError."""
        ...

    def history(self, limit: int, before: int | None = None) -> list[Revision]:
        """The newest first; those before a number where one is given."""
        ...

    def get(self, number: int) -> Revision | None:
        """One of them; None where there is none of that number, or no more."""
        ...

    def newest(self) -> int:
        """Its number: whether another process has changed something."""
        ...
