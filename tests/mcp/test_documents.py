"""OpenAPI documents as they come: what is read, what is refused, and what schemas come to."""

import json
from typing import Any

import pytest

from tollkeeper.mcp.documents import BadDocument, Schemas, followed, read

WHOLE = {"openapi": "3.1.0", "paths": {}}


def test_json_and_yaml_are_read() -> None:
    assert read(json.dumps(WHOLE), 1000) == WHOLE
    assert read(b"openapi: 3.1.0\npaths: {}\n", 1000) == WHOLE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "no object"),
        ("just words", "no object"),
        ("a: [", "neither JSON nor YAML"),
        (b"\xff\xfe\xff", "cannot be read|neither"),
        ("swagger: '2.0'\npaths: {}", r"found 2\.0"),
        ("openapi: 4.0.0\npaths: {}", r"found 4\.0\.0"),
        ("openapi: 3.1.0", "no paths"),
        ("openapi: 3.1.0\npaths: []", "no paths"),
        ("openapi: 3.1.0\npaths: {}\nx: 2026-99-99", "cannot be read|neither"),
        ("x: &x [1]\ny: [*x, *x]", "aliases"),
        ("x: " + "[" * 5000, "nested|neither"),
        ('{"x": ' + "[" * 100_000, "cannot be read"),
        ("!!python/object/apply:os.system [ls]", "neither"),
        (json.dumps(WHOLE) + " " * 1_000_000, "at most"),
    ],
)
def test_what_is_no_document_is_told_in_words(text: str | bytes, words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        read(text, 500_000)


def _taken(schema: Any, schemas: Any = None) -> tuple[Any, dict[str, Any]]:
    taking = Schemas({**WHOLE, "components": {"schemas": schemas or {}}})
    return taking.taken(schema), taking.definitions


@pytest.mark.parametrize(
    ("schema", "taken"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
        ({"type": "string", "example": "x", "xml": {}, "x-more": 1, "pattern": "(a+)+$"}, {"type": "string"}),
        ({"type": "file", "minimum": "one", "required": [1], "enum": 3}, {}),
        ({"items": {"type": "integer", "example": 1}}, {"items": {"type": "integer"}}),
        ({"properties": {"example": {"type": "string"}}}, {"properties": {"example": {"type": "string"}}}),
        ({"$ref": "https://elsewhere.example/schema.json"}, {}),
        (True, True),
        ("nonsense", {}),
    ],
)
def test_a_schema_becomes_one_that_validators_understand(schema: Any, taken: Any) -> None:
    assert _taken(schema)[0] == taken


def test_what_a_schema_refers_to_comes_with_it_and_nothing_else() -> None:
    tree = {
        "type": "object",
        "properties": {"below": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    }
    found, definitions = _taken({"$ref": "#/components/schemas/Tree"}, {"Tree": tree, "Other": {}})
    assert found == {"$ref": "#/$defs/Tree"}
    assert definitions == {
        "Tree": {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}
    }
    assert _taken({"$ref": "#/components/schemas/Nothing"}) == ({"$ref": "#/$defs/Nothing"}, {"Nothing": {}})


def test_a_schema_that_is_very_deep_ends_somewhere() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}
    assert json.dumps(_taken(schema)[0]).count("items") < 100


def test_references_are_followed_inside_the_document_alone() -> None:
    document = {**WHOLE, "a": {"b/c": {"$ref": "#/d"}}, "d": {"x": 1}, "e": {"$ref": "#/e"}}
    assert followed(document, {"$ref": "#/a/b~1c"}) == {"x": 1}
    for bad in ("#/e", "#/nowhere", "file:///etc/passwd", 3):
        with pytest.raises(BadDocument):
            followed(document, {"$ref": bad})
