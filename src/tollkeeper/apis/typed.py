"""Python's types as JSON and back: msgspec's own, dataclasses, TypedDicts, and pydantic's models where an author has them.

pydantic is never imported here: its models know how to read, write and describe themselves.
"""

from typing import Any

import msgspec

from tollkeeper.apis.schemas import Schema


class BadType(TypeError):
    """A type that cannot be said in JSON."""


def is_pydantic(kind: Any) -> bool:
    """Whether it is a model of pydantic 2."""
    return isinstance(kind, type) and hasattr(kind, "model_validate") and hasattr(kind, "model_json_schema")


def decode(data: bytes, kind: Any) -> Any:
    """JSON as `kind`. Raises msgspec.ValidationError (of pydantic's complaints too) and msgspec.DecodeError."""
    return msgspec.json.decode(data, type=kind, dec_hook=_read)


def encode(value: Any) -> bytes:
    """JSON. Raises TypeError, ValueError and the like where it cannot be."""
    return msgspec.json.encode(value, enc_hook=_written)


def _read(kind: type, value: Any) -> Any:
    try:
        return kind.model_validate(value)  # type: ignore[attr-defined]
    except ValueError as error:
        found: list[dict[str, Any]] = getattr(error, "errors", list)()
        if not found:
            raise
        where = ".".join(str(part) for part in found[0]["loc"])
        raise ValueError(f"{where}: {found[0]['msg']}" if where else found[0]["msg"]) from None


def _written(value: Any) -> Any:
    if is_pydantic(type(value)):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def described(kinds: list[Any], prefix: str) -> tuple[list[Schema], dict[str, Schema]]:
    """Schemas of `kinds`, and those that they refer to as `prefix` + name. Raises BadType."""
    definitions: dict[str, Schema] = {}

    def describe(kind: type) -> Schema:
        if not is_pydantic(kind):
            raise BadType(f"{kind!r} cannot be said in JSON")
        schema: Schema = kind.model_json_schema(ref_template=f"#/components/schemas/{prefix}{{model}}")  # type: ignore[attr-defined]
        definitions.update({prefix + name: inner for name, inner in schema.pop("$defs", {}).items()})
        return schema

    try:
        found, components = msgspec.json.schema_components(
            kinds, schema_hook=describe, ref_template=f"#/components/schemas/{prefix}{{name}}"
        )
    except BadType:
        raise
    except (TypeError, NameError, RuntimeError) as error:
        raise BadType(str(error)) from None
    return list(found), definitions | {prefix + name: schema for name, schema in components.items()}


def for_a_model(kind: Any) -> Schema:
    """The schema that a model's answer is to follow: closed objects, the outermost one spelled out."""
    [schema], definitions = described([kind], "")
    renamed = _referring({"schema": schema, "definitions": definitions})
    schema, definitions = renamed["schema"], renamed["definitions"]
    refers = schema.get("$ref", "")
    if refers.startswith("#/$defs/"):
        schema = definitions[refers.removeprefix("#/$defs/")]
    if not str(definitions).count("$ref") and not str(schema).count("$ref"):
        definitions = {}
    return {**schema, "$defs": definitions} if definitions else schema


def _referring(value: Any) -> Any:
    """References as JSON Schema has them, objects closed."""
    if isinstance(value, dict):
        changed = {name: _referring(inner) for name, inner in value.items()}
        if isinstance(changed.get("$ref"), str):
            changed["$ref"] = changed["$ref"].replace("#/components/schemas/", "#/$defs/")
        if changed.get("type") == "object" and isinstance(changed.get("properties"), dict):
            changed.setdefault("additionalProperties", False)
        return changed
    return [_referring(inner) for inner in value] if isinstance(value, list) else value
