"""OpenAPI documents (3.0 and 3.1): read from JSON or YAML, followed where they refer to themselves, schemas taken out.

A document is somebody else's text: its size, depth and aliases are bounded, and nothing outside of it is ever looked at.
https://spec.openapis.org/oas/v3.1.1.html
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

Document = Mapping[str, Any]
_DEEPEST = 40
_DEEPEST_TEXT = 200
_MOST_DEFINITIONS = 200
_SCHEMAS = "#/components/schemas/"
_WITHOUT_MEANING = (
    "example",
    "examples",
    "discriminator",
    "xml",
    "externalDocs",
    "deprecated",
    "readOnly",
    "writeOnly",
)
"""Words of OpenAPI's own, and those that only tell more: a model's context is short."""
_OF_SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_OF_SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_OF_SCHEMA_TABLES = ("properties", "patternProperties", "dependentSchemas")


class BadDocument(ValueError):
    """It cannot be used; the words say why."""


def read(text: str | bytes, most: int) -> Document:
    """The document in a text of at most `most` bytes. Raises BadDocument."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > most:
        raise BadDocument(f"the document has {len(data)} bytes, of at most {most}")
    try:
        found = msgspec.json.decode(data) if data.lstrip()[:1] == b"{" else _yaml(data)
    except BadDocument:
        raise
    except (ValueError, RecursionError) as error:  # a text that is none, a date that is none, and the like
        raise BadDocument(f"the document cannot be read: {error}") from None
    return checked(found)


def checked(found: Any) -> Document:
    """What was read, if it is a document of a version that we know. Raises BadDocument."""
    if not isinstance(found, Mapping):
        raise BadDocument("the document is no object")
    version = found.get("openapi")
    if not isinstance(version, str) or not re.match(r"3\.[01]\b", version):
        raise BadDocument(f"expected openapi 3.0 or 3.1, found {str(found.get('swagger', version))[:20]}")
    if not isinstance(found.get("paths"), Mapping):
        raise BadDocument("the document has no paths")
    return found


def _yaml(data: bytes) -> Any:
    import yaml  # which few of the gates that run ever need

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(data, loader):
            if isinstance(event, yaml.AliasEvent):  # a few lines of them can stand for more than a machine has room for
                raise BadDocument("the document has aliases, which are not taken")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST_TEXT:
                raise BadDocument(f"the document is nested more than {_DEEPEST_TEXT} deep")
        return yaml.load(data, loader)
    except yaml.YAMLError as error:
        raise BadDocument(f"the document is neither JSON nor YAML: {error}") from None


def followed(document: Document, found: Any) -> Mapping[str, Any]:
    """An object of the document, or the one that it refers to. Raises BadDocument."""
    for _ in range(_DEEPEST):
        if not isinstance(found, Mapping):
            raise BadDocument("expected an object")
        reference = found.get("$ref")
        if reference is None:
            return found
        found = _at(document, reference)
    raise BadDocument("what refers to itself leads nowhere")


def _at(document: Document, reference: Any) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise BadDocument(f"{str(reference)[:100]} is outside of the document")
    found: Any = document
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            raise BadDocument(f"{reference[:100]} is not there")
        found = found[name]
    return found


class Schemas:
    """Takes schemas out of a document; `definitions` are what those taken refer to."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.definitions: dict[str, Any] = {}

    def taken(self, schema: Any, depth: int = 0) -> Any:
        """The schema as JSON Schema has it. What is too deep, or refers to elsewhere, may then be anything."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return {}
        reference = schema.get("$ref")
        if reference is not None:
            return self._referred(reference)
        result: dict[str, Any] = {}
        for name, value in schema.items():
            if name in _WITHOUT_MEANING or name.startswith("x-") or name in ("nullable", "$schema", "$id", "$defs"):
                continue
            if name in _OF_SCHEMAS:
                result[name] = self.taken(value, depth + 1)
            elif name in _OF_SCHEMA_LISTS and isinstance(value, list):
                result[name] = [self.taken(each, depth + 1) for each in value]
            elif name in _OF_SCHEMA_TABLES and isinstance(value, Mapping):
                result[name] = {str(key): self.taken(each, depth + 1) for key, each in value.items()}
            elif _may_stay(name, value):
                result[name] = value
        if schema.get("nullable") is True and isinstance(result.get("type"), str):
            result["type"] = [result["type"], "null"]
            if isinstance(result.get("enum"), list) and None not in result["enum"]:
                result["enum"] = [*result["enum"], None]
        return _with_numbers_as_bounds(result)

    def _referred(self, reference: Any) -> dict[str, Any]:
        if not isinstance(reference, str) or not reference.startswith(_SCHEMAS):
            return {}
        name = reference.removeprefix(_SCHEMAS)
        known = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        if known not in self.definitions:
            if len(self.definitions) >= _MOST_DEFINITIONS:
                return {}
            self.definitions[known] = {}  # it may refer to itself
            try:
                self.definitions[known] = self.taken(_at(self._document, reference))
            except BadDocument:
                self.definitions[known] = {}
        return {"$ref": f"#/$defs/{known}"}


_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")


def _may_stay(name: str, value: Any) -> bool:
    """Whether a word of a schema says something that a validator understands. What it says wrongly is left unsaid."""
    if name == "type":
        return (
            value in _TYPES if isinstance(value, str) else isinstance(value, list) and all(t in _TYPES for t in value)
        )
    if name == "pattern":
        return False  # the API looks at it itself: a pattern of somebody else's is not run here
    if name == "required":
        return isinstance(value, list) and value != [] and all(isinstance(each, str) for each in value)
    if name == "enum":
        return isinstance(value, list) and value != []
    if name.startswith(("min", "max")) or name == "multipleOf":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return name in ("exclusiveMinimum", "exclusiveMaximum", "uniqueItems", "const", "default", "format", "title") or (
        name == "description" and isinstance(value, str)
    )


def _with_numbers_as_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.0 says with true or false whether a bound is exclusive; JSON Schema has the bound itself there."""
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        said = schema.get(exclusive)
        if said is True and inclusive in schema:
            schema[exclusive] = schema.pop(inclusive)
        elif exclusive in schema and (isinstance(said, bool) or not isinstance(said, int | float)):
            del schema[exclusive]
    return schema
