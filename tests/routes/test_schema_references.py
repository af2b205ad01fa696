"""References within a JSON Schema are followed, also to itself, and what they cost is bounded."""

from typing import Any

import pytest

from tollkeeper.core.patterns import Patterns
from tollkeeper.routes.json_schema import Written, check_schema
from tollkeeper.routes.schema_references import resolved

TREE = {
    "definitions": {
        "node": {
            "type": "object",
            "required": ["value"],
            "properties": {
                "value": {"type": "string", "pattern": "^[a-z]$"},
                "more": {"type": "array", "items": {"$ref": "#/definitions/node"}},
            },
        }
    },
    "$ref": "#/definitions/node",
}


def ready(schema: Any) -> Written:
    found = resolved(schema, "s")
    check_schema(found, "s")
    return Written(found, Patterns())


def test_references_mean_what_they_name() -> None:
    schema = {
        "definitions": {"a/b": {"type": "string"}, "list": {"items": {"$ref": "#/definitions/a~1b"}}},
        "properties": {"definitions": {"$ref": "#/definitions/list", "type": "object"}},
        "anyOf": [{"required": ["x"]}, {"$ref": "#/anyOf/0"}],
    }
    written = ready(schema)
    assert written.wrong({"x": 1, "definitions": ["a"]}) is None
    assert "wrong type: expected string, got number" in (written.wrong({"x": 1, "definitions": [1]}) or "")
    assert written.wrong({}) == "object matches none of the required"


def test_a_schema_may_refer_to_itself() -> None:
    written = ready(TREE)
    assert written.wrong({"value": "a", "more": [{"value": "b", "more": [{"value": "c"}]}]}) is None
    words = written.wrong({"value": "a", "more": [{"value": "b", "more": [{"value": "C"}]}]}) or ""
    assert words.count("failed to validate item 1") == 2
    whole = ready({"additionalProperties": {"$ref": "#"}, "maxProperties": 1})
    assert whole.wrong({"a": {"b": {"c": 1}}}) is None
    assert whole.wrong({"a": {"b": {"c": 1, "d": 2}}}) is not None


def test_definitions_that_all_lead_to_each_other_are_taken() -> None:
    names = [f"d{n}" for n in range(12)]
    each = {"properties": {name: {"$ref": f"#/definitions/{name}"} for name in names}, "type": "object"}
    written = ready({"definitions": dict.fromkeys(names, each), "$ref": "#/definitions/d0"})
    assert written.wrong({"d1": {"d2": {"d11": {}}}}) is None
    assert written.wrong({"d1": {"d2": {"d11": 1}}}) is not None


def test_branches_that_all_lead_on_do_not_double_the_work_with_each_level() -> None:
    branch = {"properties": {"a": {"$ref": "#"}}}
    written = ready({"allOf": [branch, branch], "anyOf": [{"type": "integer"}, branch, branch]})
    value: Any = 1
    for _ in range(50):
        value = {"a": value}
    assert written.wrong(value) is None
    chain = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {"type": "number"}}
    assert ready({"$defs": chain, "$ref": "#/$defs/d0"}).wrong(1) is None


def test_a_value_that_is_nested_too_deeply_is_wrong_and_nothing_breaks() -> None:
    written = ready(TREE)
    value: dict[str, Any] = {"value": "a"}
    for _ in range(5000):
        value = {"value": "a", "more": [value]}
    assert written.wrong(value) == "value is nested too deeply"
    assert written.wrong({"value": "a"}) is None


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "#/definitions/none"}, "names nothing"),
        ({"$ref": "#/anyOf/1", "anyOf": [True]}, "names nothing"),
        ({"$ref": "other.json#/a"}, "is not of the form"),
        ({"$ref": "#named"}, "is not of the form"),
        ({"allOf": [{"$ref": "#"}]}, "leads to itself"),
        (
            {
                "$defs": {
                    "a": {"properties": {"x": {"$ref": "#/$defs/b"}}, "allOf": [{"$ref": "#/$defs/b"}]},
                    "b": {"not": {"$ref": "#/$defs/a"}},
                },
                "$ref": "#/$defs/a",
            },
            "leads to itself",
        ),
        ({"$defs": {"a": {"type": "text"}}, "items": {"$ref": "#/$defs/a"}}, "is no type"),
    ],
)
def test_what_cannot_be_used_is_refused(schema: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ready(schema)
