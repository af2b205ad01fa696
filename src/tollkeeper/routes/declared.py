"""Resources as files declare them: tables by name, or lists as APISIX's standalone mode has them."""

from collections.abc import Mapping
from typing import Any

from tollkeeper.core.errors import CallerError
from tollkeeper.routes.resource_schemas import SCHEMAS, without_times


def desired(found: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Resources by kind and id. Raises CallerError with what is not understood, so that nothing is left out in silence."""
    if found is None:
        found = {}
    if not isinstance(found, Mapping):
        raise _wrong("expected routes, services, upstreams, …")
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, given in found.items():
        if kind not in SCHEMAS:
            raise _wrong(f"{kind}: there is no such kind; expected one of: {', '.join(SCHEMAS)}")
        if isinstance(given, Mapping):
            pairs = [(str(id), value) for id, value in given.items()]
        elif isinstance(given, list):
            pairs = [(_id(kind, value, place), value) for place, value in enumerate(given)]
        else:
            raise _wrong(f"{kind}: expected a table or a list")
        of = result.setdefault(str(kind), {})
        for id, value in pairs:
            if not isinstance(value, Mapping):
                raise _wrong(f"{kind}.{id}: expected a table")
            if id in of:
                raise _wrong(f"{kind}.{id} is there twice")
            of[id] = dict(value)
    return result


def shown(resources: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Everything in the form that `desired` reads, without what the gate itself put in."""
    return {
        kind: {id: without_times(value) for id, value in of.items()} for kind in SCHEMAS if (of := resources.get(kind))
    }


def _id(kind: str, value: Any, place: int) -> str:
    found = value.get("username" if kind == "consumers" else "id") if isinstance(value, Mapping) else None
    if found is None:
        raise _wrong(f"{kind}[{place}]: expected {'a username' if kind == 'consumers' else 'an id'}")
    return str(found)


def _wrong(words: str) -> CallerError:
    return CallerError(words, code="invalid_resource")
