"""Local references of a JSON Schema (`$ref: "#/definitions/name"`), put in their place."""

from typing import Any
from urllib.parse import unquote

_MOST = 10_000
"""Parts that a schema may come to: references can double at each level."""


def inlined(schema: Any, place: str) -> Any:
    """A copy in which each reference is replaced by what it names; what stands beside one does not count (draft 7).

    Raises ValueError where one names nothing, another document, or itself. `place` is where the schema stands.
    """
    return _Copy(schema, place).of(schema, ())


def _less_definitions(schema: dict[str, Any]) -> list[tuple[str, Any]]:
    """They say nothing by themselves, and may be of a kind that cannot be put in place."""
    return [(key, each) for key, each in schema.items() if key not in ("definitions", "$defs")]


class _Copy:
    def __init__(self, whole: Any, place: str) -> None:
        self._whole = whole
        self._place = place
        self._parts = 0

    def of(self, part: Any, within: tuple[str, ...]) -> Any:
        """`within` are the references that it was reached by."""
        self._parts += 1
        if self._parts > _MOST:
            raise ValueError(f"invalid schema at {self._place}: it comes to more than {_MOST} parts")
        if isinstance(part, list):
            return [self.of(each, within) for each in part]
        if not isinstance(part, dict):
            return part
        name = part.get("$ref")
        if not isinstance(name, str):
            own = part.items() if part is not self._whole else _less_definitions(part)
            return {key: self.of(each, within) for key, each in own}
        if name in within:
            raise ValueError(f"invalid schema at {self._place}: $ref {name!r} leads to itself")
        return self.of(self._named(name), (*within, name))

    def _named(self, name: str) -> Any:
        found = self._whole
        document, _, pointer = name.partition("#")
        if document or pointer[:1] not in ("", "/"):
            raise ValueError(f"invalid schema at {self._place}: $ref {name!r} is not of the form '#/definitions/name'")
        for step in pointer.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise ValueError(f"invalid schema at {self._place}: $ref {name!r} names nothing")
        return found
