"""A made-up value is one that the schema's own checker takes."""

from typing import Any

import pytest

from tollkeeper.apis import schemas
from tollkeeper.core.json_examples import example_of

NODE = {
    "type": "object",
    "properties": {"on": {"type": "boolean"}, "inner": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["on"],
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 18, "maximum": 120},
        {"type": "integer", "exclusiveMinimum": 18, "exclusiveMaximum": 20},
        {"type": "integer", "maximum": -3},
        {"type": "integer", "multipleOf": 7, "minimum": 8},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "number", "minimum": 2.5},
        {"type": "string", "minLength": 10},
        {"type": "string", "maxLength": 2},
        {"type": "string", "format": "email"},
        {"type": "string", "format": "date-time"},
        {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 4},
        {"type": "array", "items": {"type": "string"}, "maxItems": 0},
        {"type": ["null", "string"]},
        {
            "allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}],
            "properties": {"b": {}},
        },
        {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        {"enum": [None, 1]},
        {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
    ],
    ids=str,
)
def test_what_is_made_up_fits(schema: dict[str, Any]) -> None:
    schemas.check(schema)(example_of(schema))


def test_a_schemas_own_example_is_preferred() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "examples": ["Ada"]},
            "kind": {"enum": ["x", "y"]},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        },
        "$defs": {"tag": {"type": "object", "properties": {"on": {"type": "boolean", "default": False}}}},
    }

    assert example_of(schema) == {"name": "Ada", "kind": "x", "tags": [{"on": False}]}


def test_a_schema_that_grows_with_every_level_gives_something_small() -> None:
    wide = {f"p{number}": {"$ref": "#"} for number in range(30)}
    schema = {"type": "object", "properties": wide, "required": list(wide)}

    assert len(str(example_of(schema))) < 100_000
