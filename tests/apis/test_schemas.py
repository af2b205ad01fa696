"""JSON Schemas as the config has them: short, in full, from a file; what is wrong with them, and with what they check."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tollkeeper.apis import schemas
from tollkeeper.apis.schemas import BadSchema
from tollkeeper.core.errors import CallerError


def test_a_short_form_is_a_closed_object() -> None:
    short = {"topic": "string", "words?": "integer", "tags": "string[]", "tone": {"enum": ["dry"], "default": "dry"}}

    assert schemas.read(short, Path()) == {
        "type": "object",
        "properties": {
            "topic": {"type": "string"},
            "words": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "tone": {"enum": ["dry"], "default": "dry"},
        },
        "required": ["topic", "tags"],
        "additionalProperties": False,
    }


def test_a_schema_in_full_stays_as_it_is_and_tomls_decimals_become_numbers() -> None:
    full = {"type": "object", "properties": {"t": {"type": "number", "maximum": Decimal("1.5")}}}

    assert schemas.read(full, Path()) == {"type": "object", "properties": {"t": {"type": "number", "maximum": 1.5}}}


def test_a_schema_is_read_from_a_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_bytes(msgspec.json.encode({"type": "object"}))

    assert schemas.read("in.json", tmp_path) == {"type": "object"}


@pytest.mark.parametrize("content", [b"[]", b"{", None])
def test_a_file_that_holds_no_schema_is_named(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "in.json").write_bytes(content)

    with pytest.raises(BadSchema, match=r"in\.json"):
        schemas.read("in.json", tmp_path)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:9/x.json"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"type": "string", "pattern": "("},
        {"$ref": "#/nowhere"},
    ],
)
def test_what_is_no_schema_or_refers_elsewhere_is_refused_at_once(schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchema):
        schemas.check(schema)


def test_an_unknown_type_in_the_short_form_is_named() -> None:
    with pytest.raises(BadSchema, match="'topic'"):
        schemas.read({"topic": "text"}, Path())


CHECK = schemas.check(
    {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "default": 3},
            "b": {
                "type": "object",
                "properties": {"c": {"enum": ["x"]}},
                "required": ["c"],
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    }
)


def test_defaults_are_filled_in() -> None:
    assert schemas.checked(CHECK, {}) == {"a": 3}


@pytest.mark.parametrize(
    ("value", "code", "param"),
    [
        ({"a": "x"}, "invalid_type", "a"),
        ({"b": {}}, "missing_required_parameter", "b.c"),
        ({"b": {"c": "y"}}, "invalid_value", "b.c"),
        ({"b": {"c": "x", "d": 1}}, "unknown_parameter", "b.d"),
        ({"z": 1}, "unknown_parameter", "z"),
    ],
)
def test_a_mistake_is_named_with_its_place(value: Any, code: str, param: str) -> None:
    with pytest.raises(CallerError) as caught:
        schemas.checked(CHECK, value)

    assert (caught.value.code, caught.value.param) == (code, param)
    assert "data" not in caught.value.message


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": False}, False),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "array", "items": {"type": "object", "properties": {}}}, False),
        ({"type": "string"}, True),
    ],
)
def test_strict_mode_is_asked_for_where_openai_takes_the_schema(schema: dict[str, Any], strict: bool) -> None:
    assert schemas.strict(schema) is strict
