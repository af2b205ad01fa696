"""Checks values against JSON Schema and says what is wrong in the words of APISIX's validator (api7/jsonschema 0.9.12).

Clients and people know these words, and a model that is told them mends its call; no library has them. Of JSON Schema it
knows draft 7 without formats; references are put in their place by schema_references.py.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern, Pattern, Patterns

Schema = Mapping[str, Any]
_Check = Callable[[Any, Any, Schema], str | None]


class Named:
    """What a reference names. It remembers what it found out about a value for as long as one is checked: where several
    branches lead on by references, each would double the work with each level of a value."""

    __slots__ = ("known", "schema")

    def __init__(self) -> None:
        self.schema: Any = True
        self.known: dict[int, tuple[Any, str | None]] = {}
        """By a value's id, the value, which is kept for the id to stay its own, and what is wrong with it."""

    def wrong(self, value: Any) -> str | None:
        """As the function of that name."""
        found = self.known.get(id(value))
        if found is None:
            found = self.known[id(value)] = (value, wrong(value, self.schema))
        return found[1]


class Written:
    """Somebody's own schema, ready to be run over what strangers send. It was checked by `check_schema`."""

    def __init__(self, schema: Any, compiler: Patterns) -> None:
        """`compiler`: within whose bounds its patterns are run."""
        self._named: dict[Named, Named] = {}
        self._compiler = compiler
        self._schema = self._made(schema)

    def wrong(self, value: Any) -> str | None:
        """What is wrong with `value`, None where nothing is. Raises CallerError where a pattern takes too long."""
        try:
            return wrong(value, self._schema)
        except RecursionError:
            return "value is nested too deeply"
        finally:
            for named in self._named.values():
                named.known.clear()

    def _made(self, schema: Any) -> Any:
        """A copy whose patterns are compiled."""
        if not isinstance(schema, Mapping):
            return schema
        made = {keyword: self._of_keyword(keyword, inner) for keyword, inner in schema.items()}
        if isinstance(made.get("pattern"), str):
            made["pattern"] = self._compiler.compiled(_dialect(made["pattern"]))
        if "patternProperties" in made:
            made["patternProperties"] = {
                self._compiler.compiled(_dialect(name)): inner for name, inner in made["patternProperties"].items()
            }
        return made

    def _of_keyword(self, keyword: str, inner: Any) -> Any:
        if isinstance(inner, Named):
            if inner not in self._named:
                named = self._named[inner] = Named()
                named.schema = self._made(inner.schema)
            return self._named[inner]
        if keyword in ("properties", "patternProperties", "dependencies") and isinstance(inner, Mapping):
            return {name: self._made(each) for name, each in inner.items()}
        if isinstance(inner, list) and keyword in ("oneOf", "anyOf", "allOf", "items"):
            return [self._made(each) for each in inner]
        return self._made(inner) if keyword in _WITH_A_SCHEMA else inner


def wrong(value: Any, schema: Schema | bool) -> str | None:
    """What is wrong with `value`, None where nothing is."""
    if isinstance(schema, bool):
        return None if schema else "value is never valid"
    for keyword, check in _plan(tuple(schema)):
        words = check(value, schema[keyword], schema)
        if words is not None:
            return words
    return None


def check_schema(schema: Any, place: str) -> None:
    """Raises ValueError where somebody's schema cannot be used: what its keywords say must be of their kinds, its patterns
    compile, and so with what its references name. `place` is where it stands."""
    _check(schema, place, set())


def _check(schema: Any, place: str, seen: set[Named]) -> None:
    if isinstance(schema, bool):
        return
    named = schema.get("$ref") if isinstance(schema, dict) else None
    if isinstance(named, Named):
        if named not in seen:
            seen.add(named)
            _check(named.schema, place, seen)
        return
    if not isinstance(schema, dict):
        raise ValueError(f"invalid schema at {place}: expected an object")
    for keyword, kinds in _TAKES.items():
        given = schema.get(keyword)
        if keyword in schema and type(given) not in kinds:
            raise ValueError(f"invalid schema at {place}: {keyword} cannot be {msgspec.json.encode(given).decode()}")
    kinds_named = schema.get("type", [])
    for kind in [kinds_named] if isinstance(kinds_named, str) else kinds_named:
        if isinstance(kind, str) and kind not in _TYPES:
            raise ValueError(f"invalid schema at {place}: {kind!r} is no type")
    if schema.get("multipleOf", 1) <= 0:
        raise ValueError(f"invalid schema at {place}: multipleOf must be more than 0")
    for name in ("required", "type"):
        if isinstance(schema.get(name), list) and not all(isinstance(each, str) for each in schema[name]):
            raise ValueError(f"invalid schema at {place}: {name} has others than strings in it")
    for pattern in (*([schema["pattern"]] if "pattern" in schema else ()), *schema.get("patternProperties", ())):
        try:
            _compiled(pattern)
        except BadPattern as error:
            raise ValueError(f"invalid schema at {place}: {pattern!r}: {error}") from None
    for name in ("properties", "patternProperties", "dependencies"):
        for key, each in schema.get(name, {}).items():
            if name != "dependencies" or not isinstance(each, list):
                _check(each, f"{place}.{key}", seen)
    for name in ("oneOf", "anyOf", "allOf", "items"):
        for each in schema[name] if isinstance(schema.get(name), list) else ():
            _check(each, f"{place}.{name}", seen)
    for name in _WITH_A_SCHEMA:
        if name in schema and not isinstance(schema[name], list):
            _check(schema[name], f"{place}.{name}", seen)


def with_defaults(value: Any, schema: Schema | bool) -> Any:
    """A copy of `value` in which what is left out has the schema's default."""
    if isinstance(schema, bool):
        return value
    if isinstance(value, dict):
        known: Mapping[str, Any] = schema.get("properties", {})
        filled = {name: with_defaults(each, known.get(name, True)) for name, each in value.items()}
        for name, inner in known.items():
            if name not in filled and isinstance(inner, Mapping) and "default" in inner:
                filled[name] = with_defaults(inner["default"], inner)
        for branch in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
            if isinstance(branch, Mapping) and branch.get("properties") and wrong(value, branch) is None:
                filled = with_defaults(filled, {"properties": branch["properties"]})
                break
        return filled
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [with_defaults(each, schema["items"]) for each in value]
    return value


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool)
    return _type_of(value) == kind


@lru_cache(1024)
def _plan(keywords: tuple[str, ...]) -> tuple[tuple[str, _Check], ...]:
    """The checks for a schema's keywords, in the order of `_CHECKS`: APISIX's, since which of several mistakes is named
    is known to clients too."""
    return tuple((keyword, check) for keyword, check in _CHECKS.items() if keyword in keywords)


def _type(value: Any, kinds: Any, _: Schema) -> str | None:
    if type(value) is _EXACTLY.get(kinds if isinstance(kinds, str) else ""):
        return None
    wanted = kinds if isinstance(kinds, (list, tuple)) else [kinds]
    if any(_is(value, kind) for kind in wanted):
        return None
    named = wanted[0] if len(wanted) == 1 else "one of " + ", ".join(wanted)
    return f"wrong type: expected {named}, got {_lua_type(value)}"


def _lua_type(value: Any) -> str:
    """APISIX's validator calls arrays and objects what Lua calls both of them."""
    found = _type_of(value)
    return "table" if found in ("array", "object") else found


def _enum(value: Any, allowed: Any, _: Schema) -> str | None:
    same = (each for each in allowed if each == value and isinstance(each, bool) == isinstance(value, bool))
    return None if next(same, _NOTHING) is not _NOTHING else "matches none of the enum values"


def _const(value: Any, wanted: Any, _: Schema) -> str | None:
    return None if value == wanted else f"failed to match const value {wanted!r}"


def _required(value: Any, names: Any, _: Schema) -> str | None:
    if isinstance(value, dict):
        for name in names:
            if name not in value:
                return f'property "{name}" is required'
    return None


def _properties(value: Any, known: Any, _: Schema) -> str | None:
    if isinstance(value, dict):
        for name, inner in known.items():
            if name in value:
                words = wrong(value[name], inner)
                if words is not None:
                    return f'property "{name}" validation failed: {words}'
    return None


def _pattern_properties(value: Any, patterns: Any, _: Schema) -> str | None:
    if isinstance(value, dict):
        for pattern, inner in patterns.items():
            for name, each in value.items():
                if _compiled(pattern).search(name):
                    words = wrong(each, inner)
                    if words is not None:
                        return f'failed to validate {name} (matching "{_written(pattern)}"): {words}'
    return None


def _additional(value: Any, rule: Any, schema: Schema) -> str | None:
    if rule is True or not isinstance(value, dict):
        return None
    known = schema.get("properties", {})
    patterns = [_compiled(pattern) for pattern in schema.get("patternProperties", {})]
    for name, each in value.items():
        if name in known or any(pattern.search(name) for pattern in patterns):
            continue
        if rule is False:
            return f"additional properties forbidden, found {name}"
        words = wrong(each, rule)
        if words is not None:
            return f"failed to validate additional property {name}: {words}"
    return None


def _dependencies(value: Any, rules: Any, _: Schema) -> str | None:
    if isinstance(value, dict):
        for name, needed in rules.items():
            if name not in value:
                continue
            if isinstance(needed, (list, tuple)):
                for other in needed:
                    if other not in value:
                        return f'property "{other}" is required when "{name}" is set'
            else:
                words = wrong(value, needed)
                if words is not None:
                    return f'failed to validate dependent schema for "{name}": {words}'
    return None


def _min_properties(value: Any, least: Any, _: Schema) -> str | None:
    if isinstance(value, dict) and len(value) < least:
        return f"expect object to have at least {least} properties"
    return None


def _max_properties(value: Any, most: Any, _: Schema) -> str | None:
    if isinstance(value, dict) and len(value) > most:
        return f"expect object to have at most {most} properties"
    return None


def _items(value: Any, inner: Any, _: Schema) -> str | None:
    if isinstance(value, list):
        for place, each in enumerate(value):
            rule = inner[place] if isinstance(inner, (list, tuple)) and place < len(inner) else inner
            if isinstance(rule, (list, tuple)):
                break
            words = wrong(each, rule)
            if words is not None:
                return f"failed to validate item {place + 1}: {words}"
    return None


def _min_items(value: Any, least: Any, _: Schema) -> str | None:
    return f"expect array to have at least {least} items" if isinstance(value, list) and len(value) < least else None


def _max_items(value: Any, most: Any, _: Schema) -> str | None:
    return f"expect array to have at most {most} items" if isinstance(value, list) and len(value) > most else None


def _unique_items(value: Any, rule: Any, _: Schema) -> str | None:
    if rule and isinstance(value, list):
        seen: dict[object, int] = {}
        for place, each in enumerate(value, 1):
            plain = _encoded(each) if isinstance(each, (dict, list)) else (isinstance(each, bool), each)
            first = seen.setdefault(plain, place)
            if first != place:
                return f"expected unique items but items {first} and {place} are equal"
    return None


def _min_length(value: Any, least: Any, _: Schema) -> str | None:
    if isinstance(value, str) and len(value) < least:
        return f"string too short, expected at least {least}, got {len(value)}"
    return None


def _max_length(value: Any, most: Any, _: Schema) -> str | None:
    if isinstance(value, str) and len(value) > most:
        return f"string too long, expected at most {most}, got {len(value)}"
    return None


def _pattern(value: Any, pattern: Any, _: Schema) -> str | None:
    if isinstance(value, str) and not _compiled(pattern).search(value):
        return f'failed to match pattern "{_written(pattern)}" with "{value}"'
    return None


def _bound(words: str, holds: Callable[[Any, Any], bool]) -> _Check:
    def check(value: Any, bound: Any, _: Schema) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or holds(value, bound):
            return None
        return f"expected {value} to be {words} {bound}"

    return check


def _multiple(value: Any, of: Any, _: Schema) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value % of == 0:
        return None
    return f"expected {value} to be a multiple of {of}"


def _any_of(value: Any, branches: Any, _: Schema) -> str | None:
    fits = any(wrong(value, branch) is None for branch in branches)
    return None if fits else "object matches none of the required"


def _one_of(value: Any, branches: Any, _: Schema) -> str | None:
    found = [place for place, branch in enumerate(branches, 1) if wrong(value, branch) is None]
    if len(found) == 1:
        return None
    if not found:
        return "value should match only one schema, but matches none"
    return f"value should match only one schema, but matches both schemas {found[0]} and {found[1]}"


def _all_of(value: Any, branches: Any, _: Schema) -> str | None:
    for place, branch in enumerate(branches, 1):
        words = wrong(value, branch)
        if words is not None:
            return f"allOf {place} failed: {words}"
    return None


def _not(value: Any, inner: Any, _: Schema) -> str | None:
    return None if wrong(value, inner) is not None else "value wasn't supposed to match schema"


def _if(value: Any, condition: Any, schema: Schema) -> str | None:
    branch = "then" if wrong(value, condition) is None else "else"
    if branch in schema and wrong(value, schema[branch]) is not None:
        return f"{branch} clause did not match"
    return None


def _compiled(pattern: str | Pattern[str]) -> Pattern[str]:
    return pattern if isinstance(pattern, Pattern) else _known(pattern)


@lru_cache(512)
def _known(pattern: str) -> Pattern[str]:
    return patterns.compiled(_dialect(pattern))


def _dialect(pattern: str) -> str:
    """Lua's PCRE takes a dash anywhere between brackets; Python where it cannot be a range only.

    The end is the end, as JSON Schema has it (ECMA 262): Python's $ lets a line feed stand after it.
    """
    dashed = pattern.replace("9-.", r"9\-.").replace("Z0-9-_", r"Z0-9\-_")
    return _END.sub(r"\\Z", dashed)


def _written(pattern: str | Pattern[str]) -> str:
    return pattern if isinstance(pattern, str) else pattern.text


_NOTHING = object()
_END = re.compile(r"(?<!\\)\$(?=$|[|)])")
"""A $ that ends a pattern, or a branch of one."""
_encoded = msgspec.json.Encoder(order="deterministic").encode
_CHECKS: dict[str, _Check] = {
    "$ref": lambda value, named, _: named.wrong(value) if isinstance(named, Named) else None,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "dependencies": _dependencies,
    "minProperties": _min_properties,
    "maxProperties": _max_properties,
    "items": _items,
    "minItems": _min_items,
    "maxItems": _max_items,
    "uniqueItems": _unique_items,
    "minLength": _min_length,
    "maxLength": _max_length,
    "pattern": _pattern,
    "minimum": _bound("at least", lambda value, bound: bool(value >= bound)),
    "maximum": _bound("at most", lambda value, bound: bool(value <= bound)),
    "exclusiveMinimum": _bound("greater than", lambda value, bound: bool(value > bound)),
    "exclusiveMaximum": _bound("smaller than", lambda value, bound: bool(value < bound)),
    "multipleOf": _multiple,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "allOf": _all_of,
    "not": _not,
    "if": _if,
}
_WITH_A_SCHEMA = ("not", "if", "then", "else", "items", "additionalProperties")
_TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean", "null"))
_EXACTLY: dict[str, type] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
_OBJECT, _ARRAY, _NUMBER, _SCHEMA = (dict,), (list,), (int, float), (dict, bool)
_TAKES: dict[str, tuple[type, ...]] = {
    "type": (str, list),
    "enum": _ARRAY,
    "required": _ARRAY,
    "properties": _OBJECT,
    "patternProperties": _OBJECT,
    "additionalProperties": _SCHEMA,
    "dependencies": _OBJECT,
    "items": (dict, bool, list),
    "uniqueItems": (bool,),
    "pattern": (str,),
    **dict.fromkeys(("minProperties", "maxProperties", "minItems", "maxItems", "minLength", "maxLength"), _NUMBER),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(("anyOf", "oneOf", "allOf"), _ARRAY),
    **dict.fromkeys(("not", "if", "then", "else"), _SCHEMA),
}
"""By keyword, the types of what may follow it."""
