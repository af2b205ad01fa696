"""Both spellings of a request mean the same, and what is the caller's own is left alone."""

from tollkeeper.dialects.gemini_generate.spelling import camel


def test_fields_are_spelled_in_one_way_and_data_is_not_touched() -> None:
    found = camel(
        {
            "system_instruction": {"parts": [{"text": "a_b"}]},
            "generation_config": {"response_json_schema": {"properties": {"first_name": {}}}, "topK": 1},
            "contents": [{"parts": [{"function_call": {"name": "f_g", "args": {"some_key": 1}}}]}],
        }
    )

    assert found == {
        "systemInstruction": {"parts": [{"text": "a_b"}]},
        "generationConfig": {"responseJsonSchema": {"properties": {"first_name": {}}}, "topK": 1},
        "contents": [{"parts": [{"functionCall": {"name": "f_g", "args": {"some_key": 1}}}]}],
    }
