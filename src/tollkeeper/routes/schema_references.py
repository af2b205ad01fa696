"""Local references of a JSON Schema (`$ref: "#/definitions/name"`): what each names is found once, itself included."""

from typing import Any
from urllib.parse import unquote

from tollkeeper.routes.json_schema import Named

_INWARD = ("properties", "patternProperties", "additionalProperties", "items")
"""What leads to a part of the value: a reference to itself beyond one of these comes to an end."""
_WHOLE = "#"


def resolved(schema: Any, place: str) -> Any:
    """A copy in which a `Named` stands for each reference; what stands beside one does not count (draft 7).

    Raises ValueError where one names nothing, another document, or itself for the same value, and where the schema is
    nested too deeply. `place` is where it stands.
    """
    try:
        copy = _Copy(schema, place)
        found = copy.of(schema, _WHOLE, False)
        copy.refuse_circles()
    except RecursionError:
        raise ValueError(f"invalid schema at {place}: it is nested too deeply") from None
    return found


class _Copy:
    def __init__(self, whole: Any, place: str) -> None:
        self._whole = whole
        self._place = place
        self._named: dict[str, Named] = {}
        self._leads: dict[str, set[str]] = {}
        """By reference, to which others it leads for the same value."""

    def of(self, part: Any, within: str, inward: bool) -> Any:
        """`within` is the reference that it is part of; `inward`, whether it is about a part of that one's value."""
        if isinstance(part, list):
            return [self.of(each, within, inward) for each in part]
        if not isinstance(part, dict):
            return part
        name = part.get("$ref")
        if not isinstance(name, str):
            # Definitions say nothing by themselves, and may be of a kind that cannot be put in place.
            own = {key: each for key, each in part.items() if part is not self._whole or key not in _DEFINITIONS}
            return {key: self.of(each, within, inward or key in _INWARD) for key, each in own.items()}
        if not inward:
            self._leads.setdefault(within, set()).add(name)
        if name not in self._named:
            named = self._named[name] = Named()
            named.schema = self.of(self._found(name), name, False)
        return {"$ref": self._named[name]}

    def refuse_circles(self) -> None:
        """Raises ValueError where references lead to themselves and never to a part of the value."""
        done: set[str] = set()

        def follow(name: str, on_the_way: tuple[str, ...]) -> None:
            if name in on_the_way:
                raise ValueError(f"invalid schema at {self._place}: $ref {name!r} leads to itself")
            if name not in done:
                for each in self._leads.get(name, ()):
                    follow(each, (*on_the_way, name))
                done.add(name)

        for name in list(self._leads):
            follow(name, ())

    def _found(self, name: str) -> Any:
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


_DEFINITIONS = ("definitions", "$defs")
