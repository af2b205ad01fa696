"""A value that fits a JSON Schema, made up: for descriptions, and for the demo model's structured answers.

Pure. What a schema says in words of its own (`pattern`, `not`, `if`) is beyond it; what counts and measures is kept.
"""

import math
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_DEEPEST = 8
_LARGEST = 2000
"""Values in one example: what a schema asks for can grow with every level."""
_MOST = 64
"""Items or characters that are made up at most, whatever a schema asks for at least."""
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example_of(schema: Schema, root: Schema | None = None) -> Any:
    """What the schema asks for: its own example where it has one. `root` holds what it refers to."""
    return _Maker(schema if root is None else root).value(schema, 0)


class _Maker:
    """Makes one example."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = _LARGEST

    def value(self, schema: Schema, depth: int) -> Any:
        self._left -= 1
        for name in ("example", "default", "const"):
            if name in schema:
                return schema[name]
        for name in ("examples", "enum"):
            if schema.get(name):
                return schema[name][0]
        if depth < _DEEPEST and self._left > 0:
            refers = schema.get("$ref")
            if isinstance(refers, str):
                target = self._at(refers)
                return None if target is None else self.value(target, depth + 1)
            if schema.get("allOf"):
                return self.value(self._merged(schema), depth + 1)
            for name in ("anyOf", "oneOf"):
                if schema.get(name):
                    return self.value(schema[name][0], depth + 1)
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        if kind == "boolean":
            return True
        return None if kind == "null" else _text(schema)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        """All properties, but only what is required where it goes deep: a schema may refer to itself."""
        required = schema.get("required", ())
        return {
            field: self.value(inner, depth + 1)
            for field, inner in schema.get("properties", {}).items()
            if isinstance(inner, Mapping)
            and self._left > 0
            and (depth < _DEEPEST // 2 or (depth < _DEEPEST and field in required))
        }

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        if depth >= _DEEPEST or self._left <= 0:
            return []
        found = [self.value(each, depth + 1) for each in schema.get("prefixItems") or ()]
        items = schema.get("items")
        if isinstance(items, Mapping):
            wanted = max(schema.get("minItems", 0), 1 if depth < _DEEPEST // 2 else 0)
            wanted = min(wanted, schema.get("maxItems", _MOST), _MOST)
            found += [self.value(items, depth + 1) for _ in range(wanted - len(found))]
        return found

    def _merged(self, schema: Schema) -> dict[str, Any]:
        """A schema and all that it says that holds as well, as one."""
        found: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
        for each in schema["allOf"]:
            refers = each.get("$ref")
            inner = (self._at(refers) if isinstance(refers, str) else each) or {}
            for name, value in inner.items():
                if name == "properties":
                    found[name] = {**found.get(name, {}), **value}
                elif name == "required":
                    found[name] = [*found.get(name, ()), *value]
                else:
                    found.setdefault(name, value)
        return found

    def _at(self, pointer: str) -> Schema | None:
        found: Any = self._root
        for part in pointer.removeprefix("#").strip("/").split("/"):
            if part:
                name = part.replace("~1", "/").replace("~0", "~")
                found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else None


def _number(schema: Schema, *, whole: bool) -> float:
    usual = 1 if whole else 1.5
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf", 1 if whole else 0)
    found: float = usual
    if low is not None and found < low:
        found = low
    if above is not None and found <= above:
        found = above + (step or 1)
    if high is not None and found > high:
        found = high
    if below is not None and found >= below:
        found = below - (step or 1)
        if above is not None and found <= above and not whole:
            found = (above + below) / 2
    if step:
        up = math.ceil(found / step) * step
        beyond = (high is not None and up > high) or (below is not None and up >= below)
        found = math.floor(found / step) * step if beyond else up
    return int(found) if whole else found


def _text(schema: Schema) -> str:
    text = _FORMATS.get(schema.get("format", ""), "text")
    least, most = min(schema.get("minLength", 0), _MOST), schema.get("maxLength", _MOST)
    return (text if len(text) >= least else text.ljust(least, "."))[:most]
