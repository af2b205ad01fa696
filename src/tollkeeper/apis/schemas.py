"""JSON Schemas of requests and answers: written short or in full, checked, and errors told in the caller's words."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastjsonschema
import msgspec

from tollkeeper.apis import mistakes
from tollkeeper.core.errors import TollkeeperError

Schema = dict[str, Any]

_TYPES = ("string", "number", "integer", "boolean", "object", "array")
_IN_FULL = frozenset(("$schema", "$ref", "$defs", "properties", "allOf", "anyOf", "oneOf", "patternProperties"))


class BadSchema(ValueError):
    """Why a schema cannot be used."""


def read(given: dict[str, Any] | str, folder: Path) -> Schema:
    """A schema as the config has it: `{ topic = "string" }`, a JSON Schema, or the name of a file below `folder`.

    Raises BadSchema.
    """
    if isinstance(given, str):
        try:
            loaded = msgspec.json.decode((folder / given).read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise BadSchema(f"cannot read a JSON Schema from {given}: {error}") from None
        if not isinstance(loaded, dict):
            raise BadSchema(f"{given} holds no JSON object")
        return loaded
    plain = plain_numbers(given)
    if _IN_FULL & plain.keys() or plain.get("type") == "object":
        return dict(plain)
    return _in_full(plain)


def _in_full(fields: dict[str, Any]) -> Schema:
    """`{ topic = "string", "words?" = "integer", tags = "string[]" }`: a question mark means that it may be left out."""
    properties, required = {}, []
    for name, kind in fields.items():
        field = name.removesuffix("?")
        if isinstance(kind, dict):
            properties[field] = kind
        elif isinstance(kind, str) and kind.removesuffix("[]") in _TYPES:
            of = {"type": kind.removesuffix("[]")}
            properties[field] = {"type": "array", "items": of} if kind.endswith("[]") else of
        else:
            raise BadSchema(f"'{name}': expected one of {', '.join(_TYPES)}, one of them with [], or a JSON Schema")
        if not name.endswith("?") and not (isinstance(kind, dict) and "default" in kind):
            required.append(field)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def plain_numbers(value: Any) -> Any:
    """TOML's decimals as JSON's numbers."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: plain_numbers(inner) for name, inner in value.items()}
    return [plain_numbers(inner) for inner in value] if isinstance(value, list) else value


def check(schema: Schema) -> Callable[[Any], Any]:
    """A function that raises fastjsonschema's error, or returns the value with defaults filled in. Raises BadSchema."""
    _refuse_remote(schema)
    try:
        compiled: Callable[[Any], Any] = fastjsonschema.compile(schema, handlers={"http": _remote, "https": _remote})
    except Exception as error:  # whatever it stumbles over, the schema is not one: it raises KeyError and others too
        raise BadSchema(f"not a JSON Schema: {str(error) or type(error).__name__}") from None
    return compiled


def _refuse_remote(value: Any) -> None:
    if isinstance(value, dict):
        refers = value.get("$ref")
        if isinstance(refers, str) and not refers.startswith("#"):
            raise BadSchema(f"it refers to {refers}: only references inside the schema (#/…) are followed")
        for inner in value.values():
            _refuse_remote(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_remote(inner)


def _remote(address: str) -> Any:
    raise BadSchema(f"it refers to {address}")


def checked(compiled: Callable[[Any], Any], value: Any) -> Any:
    """A request's fields with defaults filled in. Raises CallerError that names the field."""
    try:
        return compiled(value)
    except fastjsonschema.JsonSchemaValueException as error:
        raise mistakes.by_schema(error) from None


def strict(schema: Mapping[str, Any]) -> bool:
    """Whether OpenAI's strict mode takes it: every object closed and every property required, all the way down.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
            return False
    definitions = schema.get("$defs")
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    inner += definitions.values() if isinstance(definitions, dict) else ()
    if isinstance(schema.get("items"), dict):
        inner.append(schema["items"])
    return all(strict(each) for each in inner if isinstance(each, dict))


def bad_output(name: str, reason: str) -> TollkeeperError:
    """The model's answer does not follow the schema."""
    return TollkeeperError(
        f"The model's answer does not follow the schema of '{name}': {reason}.", status=502, code="model_bad_output"
    )


def lifted(schema: Schema, prefix: str) -> tuple[Schema, dict[str, Schema]]:
    """The schema for a document of many, and those of its own that it refers to, which are named `prefix` + name there."""
    own = {name: inner for where in ("$defs", "definitions") for name, inner in schema.get(where, {}).items()}
    rest = {name: inner for name, inner in schema.items() if name not in ("$defs", "definitions", "$schema", "$id")}
    found = _moved(rest, prefix)
    return found, {f"{prefix}{name}": _moved(inner, prefix) for name, inner in own.items()}


def _moved(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        return {
            name: f"#/components/schemas/{prefix}{inner.rpartition('/')[2]}"
            if name == "$ref" and isinstance(inner, str) and inner.startswith(("#/$defs/", "#/definitions/"))
            else _moved(inner, prefix)
            for name, inner in value.items()
        }
    return [_moved(inner, prefix) for inner in value] if isinstance(value, list) else value
