"""Anthropic's answers as they pass: usage, model and tier heard, and the words of both sides found."""

import json

import msgspec
import pytest

from tollkeeper.dialects.anthropic_messages import DIALECT


def members(**found: object) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}


def test_an_answer_is_heard() -> None:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 3, "service_tier": "priority"}
    heard = DIALECT.read_answer(json.dumps({"model": "claude", "content": [], "usage": usage}).encode())

    assert heard.reported is not None
    assert (heard.reported.usage.input_tokens, heard.reported.usage.cache_write_tokens) == (7, 2)
    assert (heard.model, heard.tier) == ("claude", "priority")


@pytest.mark.parametrize("body", [b'{"input_tokens":5}', b"[]", b"7", b'{"usage":null}', b'{"usage":[]}'])
def test_an_answer_without_usage_says_nothing(body: bytes) -> None:
    assert DIALECT.read_answer(body).reported is None


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        DIALECT.read_answer(b"words")


def test_words_are_found_for_counting() -> None:
    asked = members(system="s", messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}])
    answered = json.dumps({"content": [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "f"}]}).encode()

    assert DIALECT.prompt_texts(asked) == ["s", "user\nhi"]
    assert DIALECT.answer_text(answered) == "a\nf"
