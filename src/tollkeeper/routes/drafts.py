"""What resources are to become: changes laid over the state they were made for, checked as a whole before they count."""

from collections.abc import Iterator, Mapping
from typing import Any

from tollkeeper.core.errors import CallerError
from tollkeeper.core.revisions import Change
from tollkeeper.routes.checking import Judge, users
from tollkeeper.routes.registry import Invalid
from tollkeeper.routes.resource_schemas import CALLED

Resources = Mapping[str, Mapping[str, dict[str, Any]]]


class Draft:
    """Changes on top of the resources of one revision. Implements `checking.View`."""

    def __init__(self, base: Resources, revision: int) -> None:
        self.revision = revision
        """The newest when the draft was begun; it can be applied only as long as that is so."""
        self._base = base
        self._changed: dict[tuple[str, str], dict[str, Any] | None] = {}
        self._expires: dict[tuple[str, str], int] = {}

    def set(self, kind: str, id: str, value: dict[str, Any] | None, expires_at: int | None = None) -> None:
        """Another value; None deletes."""
        self._changed[kind, id] = value
        if expires_at is not None:
            self._expires[kind, id] = expires_at

    def get(self, kind: str, id: str) -> dict[str, Any] | None:
        if (kind, id) in self._changed:
            return self._changed[kind, id]
        return self._base.get(kind, {}).get(id)

    def all(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if not any(changed == kind for changed, _ in self._changed):
            yield from self._base.get(kind, {}).items()
            return
        for id, value in self._base.get(kind, {}).items():
            if (kind, id) not in self._changed:
                yield id, value
        for (changed, id), after in self._changed.items():
            if changed == kind and after is not None:
                yield id, after

    def check(self, checker: Judge, *, force: bool = False) -> None:
        """Raises CallerError (400) with the first thing that is wrong."""
        for kind, id, words in self._wrong(checker, force):
            raise CallerError(words, code="invalid_resource", param=f"{kind}/{id}")

    def problems(self, checker: Judge) -> list[tuple[str, str, str]]:
        """(kind, id, what is wrong) of every changed resource that cannot be."""
        return list(self._wrong(checker, False))

    def _wrong(self, checker: Judge, force: bool) -> Iterator[tuple[str, str, str]]:
        for (kind, id), value in list(self._changed.items()):
            try:
                if value is not None:
                    checker.check(kind, id, value, self)
                elif not force:
                    for words in users(kind, id, self):
                        directly = " directly" if kind == "services" else ""
                        raise Invalid(f"can not delete this {CALLED[kind]}{directly}, {words}")
            except Invalid as error:
                yield kind, id, str(error)

    def changes(self) -> list[Change]:
        """What differs from the base."""
        return [
            Change(kind, id, before, value, self._expires.get((kind, id)))
            for (kind, id), value in self._changed.items()
            if (before := self._base.get(kind, {}).get(id)) != value or (kind, id) in self._expires
        ]
