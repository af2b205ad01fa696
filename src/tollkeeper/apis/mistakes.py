"""What is wrong with a request's fields, in OpenAI's codes, whoever found it: a JSON Schema or a Python type."""

import re

import fastjsonschema
import msgspec

from tollkeeper.core.errors import CallerError

_MOST_SAID = 300
_FIELD = re.compile(r"field `([^`]*)`")


def by_schema(error: fastjsonschema.JsonSchemaValueException) -> CallerError:
    """The validator's complaint about a request."""
    words, path = said(error)
    value, rule = error.value, error.rule
    if rule == "required" and isinstance(value, dict):
        missing = next((name for name in error.rule_definition if name not in value), "")
        return _missing(f"{path}.{missing}" if path else missing)
    if rule == "additionalProperties" and isinstance(value, dict) and error.rule_definition is False:
        known = error.definition.get("properties", {})
        unknown = next((name for name in value if name not in known), "")
        return unknown_field(f"{path}.{unknown}" if path else unknown)
    code = "invalid_type" if rule == "type" else "invalid_value"
    return CallerError(f"Invalid request: {words}.", code=code, param=path or None)


def said(error: fastjsonschema.JsonSchemaValueException) -> tuple[str, str]:
    """(what is wrong, the dotted name of where): without the validator's own word for the whole, `data`."""
    path = ".".join(str(part) for part in error.path[1:])
    words = error.message.removeprefix(error.name or "data").strip()
    return f"{repr(path) if path else 'the body'} {words}"[:_MOST_SAID], path


def by_type(error: msgspec.ValidationError) -> CallerError:
    """msgspec's complaint: "Expected `int`, got `str` - at `$.length`"."""
    words, _, at = str(error).partition(" - at ")
    path = at.strip("`").removeprefix("$").strip(".")
    named = _FIELD.search(words)
    if named is not None and "missing required" in words:
        return _missing(f"{path}.{named[1]}" if path else named[1])
    if named is not None and "unknown" in words:
        return unknown_field(f"{path}.{named[1]}" if path else named[1])
    where = f" at '{path}'" if path else ""
    code = "invalid_type" if ", got `" in words else "invalid_value"
    told = f"{words[:1].lower()}{words[1:]}".rstrip(".")[:_MOST_SAID]
    return CallerError(f"Invalid request: {told}{where}.", code=code, param=path or None)


def unknown_field(name: str) -> CallerError:
    """A field that is not taken: a misspelt one would be ignored in silence."""
    return CallerError(f"Unknown field: '{name[:64]}'.", code="unknown_parameter", param=name[:64])


def _missing(name: str) -> CallerError:
    return CallerError(f"Missing required field: '{name}'.", code="missing_required_parameter", param=name)
