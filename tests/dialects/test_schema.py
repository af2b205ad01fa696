"""Gemini's own kind of schema becomes JSON Schema."""

from tollkeeper.dialects.gemini_generate.schema import from_openapi


def test_types_and_nulls_at_every_depth() -> None:
    assert from_openapi(
        {
            "type": "OBJECT",
            "properties": {
                "type": {"type": "STRING", "nullable": True},
                "items": {"type": "ARRAY", "items": {"type": "INTEGER"}},
            },
            "propertyOrdering": ["type"],
            "any_of": [{"type": "NULL"}],
            "required": ["type"],
        }
    ) == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"]},
            "items": {"type": "array", "items": {"type": "integer"}},
        },
        "anyOf": [{"type": "null"}],
        "required": ["type"],
    }
