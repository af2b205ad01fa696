"""Gemini's own kind of schema (a part of OpenAPI 3.0) as JSON Schema (https://ai.google.dev/api/caching#Schema)."""

from typing import Any

_INNER = ("items", "additionalProperties", "not")
_SEVERAL = ("anyOf", "any_of", "oneOf", "allOf", "prefixItems")


def from_openapi(schema: dict[str, Any]) -> dict[str, Any]:
    """Types in lower case, `nullable` as a type; all else as it is."""
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "type" and isinstance(value, str):
            found[name] = value.lower()
        elif name in ("properties", "$defs", "defs") and isinstance(value, dict):
            found[name] = {
                key: from_openapi(inner) if isinstance(inner, dict) else inner for key, inner in value.items()
            }
        elif name in _INNER and isinstance(value, dict):
            found[name] = from_openapi(value)
        elif name in _SEVERAL and isinstance(value, list):
            spelled = "anyOf" if name == "any_of" else name
            found[spelled] = [from_openapi(inner) if isinstance(inner, dict) else inner for inner in value]
        elif name not in ("nullable", "propertyOrdering", "property_ordering"):
            found[name] = value
    if schema.get("nullable") is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found
