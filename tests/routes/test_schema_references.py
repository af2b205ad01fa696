"""References within a JSON Schema are put in their place."""

from typing import Any

import pytest

from tollkeeper.routes.schema_references import inlined


def test_references_are_replaced_by_what_they_name() -> None:
    schema = {
        "definitions": {"a/b": {"type": "string"}, "list": {"items": {"$ref": "#/definitions/a~1b"}}},
        "properties": {"definitions": {"$ref": "#/definitions/list", "type": "object"}},
        "anyOf": [{"required": ["x"]}, {"$ref": "#/anyOf/0"}],
    }
    assert inlined(schema, "s") == {
        "properties": {"definitions": {"items": {"type": "string"}}},
        "anyOf": [{"required": ["x"]}, {"required": ["x"]}],
    }


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "#/definitions/none"}, "names nothing"),
        ({"$ref": "#/anyOf/1", "anyOf": [True]}, "names nothing"),
        ({"$ref": "other.json#/a"}, "is not of the form"),
        ({"$ref": "#named"}, "is not of the form"),
        ({"properties": {"more": {"$ref": "#"}}}, "leads to itself"),
        (
            {
                "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)} | {"d20": {}},
                "$ref": "#/$defs/d0",
            },
            "comes to more than",
        ),
    ],
)
def test_what_cannot_be_put_in_its_place_is_refused(schema: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        inlined(schema, "s")
