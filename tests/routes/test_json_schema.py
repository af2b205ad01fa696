"""What is wrong with a value, in the words that clients of APISIX know."""

from typing import Any

import pytest

from tollkeeper.routes.json_schema import check_schema, with_defaults, wrong


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        ({}, {"required": ["x"]}, 'property "x" is required'),
        (
            {"x": 1},
            {"properties": {"x": {"type": "string"}}},
            'property "x" validation failed: wrong type: expected string, got number',
        ),
        ("a", {"enum": ["b"]}, "matches none of the enum values"),
        (True, {"enum": [1, 0]}, "matches none of the enum values"),
        ("a$", {"pattern": "^[a-z]+$"}, 'failed to match pattern "^[a-z]+$" with "a$"'),
        ("", {"minLength": 1}, "string too short, expected at least 1, got 0"),
        ("ab", {"maxLength": 1}, "string too long, expected at most 1, got 2"),
        (-1, {"minimum": 0}, "expected -1 to be at least 0"),
        (3, {"maximum": 2}, "expected 3 to be at most 2"),
        (0, {"exclusiveMinimum": 0}, "expected 0 to be greater than 0"),
        ([], {"minItems": 1}, "expect array to have at least 1 items"),
        ({}, {"minProperties": 1}, "expect object to have at least 1 properties"),
        ([1, 2, 1], {"uniqueItems": True}, "expected unique items but items 1 and 3 are equal"),
        ([1, "a"], {"items": {"type": "number"}}, "failed to validate item 2: wrong type: expected number, got string"),
        ({"y": 1}, {"properties": {}, "additionalProperties": False}, "additional properties forbidden, found y"),
        (
            {"y": 1},
            {"patternProperties": {".*": {"type": "string"}}},
            'failed to validate y (matching ".*"): wrong type: expected string, got number',
        ),
        ({}, {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, "object matches none of the required"),
        ({}, {"oneOf": [{"required": ["a"]}]}, "value should match only one schema, but matches none"),
        (
            {"a": 1, "b": 1},
            {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "value should match only one schema, but matches both schemas 1 and 2",
        ),
        ({"a": 1}, {"dependencies": {"a": ["b"]}}, 'property "b" is required when "a" is set'),
        ({"a": 1}, {"not": {"required": ["a"]}}, "value wasn't supposed to match schema"),
        (1, {"if": {"type": "number"}, "then": {"minimum": 2}}, "then clause did not match"),
        (1, {"allOf": [{}, {"minimum": 2}]}, "allOf 2 failed: expected 1 to be at least 2"),
        ("a\n", {"pattern": "^a$|^b$"}, 'failed to match pattern "^a$|^b$" with "a\n"'),
        ("a$", {"pattern": r"^(a|a\$)$"}, None),
        ([1, True, 0, False], {"uniqueItems": True}, None),
        ([{"a": [1]}, {"a": [1]}], {"uniqueItems": True}, "expected unique items but items 1 and 2 are equal"),
        (list(range(200_000)), {"uniqueItems": True}, None),
        (1.0, {"type": "integer"}, None),
        (True, {"type": "integer"}, "wrong type: expected integer, got boolean"),
    ],
)
def test_the_first_thing_that_is_wrong_is_said(value: Any, schema: Any, words: str | None) -> None:
    assert wrong(value, schema) == words


def test_what_is_left_out_has_its_default_and_the_value_stays_as_it_was() -> None:
    schema = {"properties": {"a": {"default": 1}, "b": {"properties": {"c": {"default": 2}}}, "d": {"default": {}}}}
    given: dict[str, Any] = {"b": {}}

    assert with_defaults(given, schema) == {"a": 1, "b": {"c": 2}, "d": {}}
    assert given == {"b": {}}


@pytest.mark.parametrize(
    "schema",
    [
        *({"minimum": "x"}, {"required": [1]}, {"multipleOf": 0}, {"type": 1}, {"pattern": "("}, {"items": "x"}),
        *({"additionalProperties": {"minItems": []}}, {"dependencies": {"a": 1}}, {"items": [1]}, {"properties": []}),
        *({"exclusiveMinimum": True}, {"anyOf": [1]}, {"not": 1}, {"properties": {"a": {"enum": 1}}}),
    ],
)
def test_a_schema_that_cannot_be_used_is_found_out_before(schema: Any) -> None:
    with pytest.raises(ValueError, match="invalid schema at body"):
        check_schema(schema, "body")
    check_schema({"properties": {"a": True}, "dependencies": {"a": ["b"]}, "items": [{}], "type": ["null"]}, "body")
