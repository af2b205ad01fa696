"""Bounds of requests: bytes for texts, limits as they are said, and what is not in the request is known not to be."""

import json
from typing import Any

import pytest

from tollkeeper.core.budget import Bounds
from tollkeeper.core.errors import CallerError
from tollkeeper.core.provider import Provider
from tollkeeper.dialects.openai_paths import endpoint
from tollkeeper.providers import PROVIDERS
from tollkeeper.wire import json_text

OPENAI, MISTRAL = PROVIDERS["openai"], PROVIDERS["mistral"]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}


def _bounds(path: str, body: dict[str, Any], provider: Provider = OPENAI) -> Bounds:
    data = json.dumps(body).encode()
    return endpoint(path, "POST").dialect.bounds(path, json_text.members(data), len(data), provider)


def _chat(*content: Any, **more: Any) -> Bounds:
    return _bounds("chat/completions", {"messages": [{"role": "user", "content": each} for each in content], **more})


@pytest.mark.parametrize(
    ("given", "provider", "output", "field", "stated"),
    [
        ({}, OPENAI, None, "max_completion_tokens", False),
        ({"max_tokens": None, "n": None}, OPENAI, None, "max_completion_tokens", False),
        ({"max_tokens": 5}, OPENAI, 5, "max_completion_tokens", True),
        ({"max_completion_tokens": 6}, OPENAI, 6, "max_completion_tokens", True),
        ({"max_tokens": 5, "max_completion_tokens": 6}, OPENAI, 6, "max_completion_tokens", True),
        ({"max_tokens": 5, "max_completion_tokens": 6}, MISTRAL, 5, "max_tokens", True),
        ({"max_completion_tokens": 6}, MISTRAL, 6, "max_tokens", False),
        ({"max_tokens": -1}, OPENAI, None, "max_completion_tokens", False),
        ({"max_tokens": 0}, OPENAI, 0, "max_completion_tokens", True),
        ({"max_tokens": 10**40}, OPENAI, 10**9, "max_completion_tokens", True),
    ],
)
def test_a_chat_says_its_limit_or_none(
    given: dict[str, Any], provider: Provider, output: int | None, field: str, stated: bool
) -> None:
    found = _bounds("chat/completions", {"messages": [], **given}, provider)

    assert (found.output_tokens, found.field, found.stated, found.choices) == (output, field, stated, 1)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("value", ["5", 5.5, True, [5], {}])
def test_a_limit_of_another_type_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(CallerError) as refused:
        _chat("hi", **{name: value})

    assert (refused.value.code, refused.value.param) == ("invalid_type", name)


def test_texts_are_bounded_by_the_bytes_of_the_request_and_a_frame() -> None:
    text = "ü" * 1000
    found = _chat(text, [{"type": "text", "text": text}], None, n=3)
    data = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()

    assert not found.elsewhere
    assert found.input_tokens > 2 * len(data)
    assert found.choices == 3
    with_tools = _chat("hi", tools=[FUNCTION])
    assert not with_tools.elsewhere
    assert with_tools.input_tokens > _chat("hi").input_tokens + 1000


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, PICTURE]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        {"messages": [{"role": "user", "content": [{"text": "no type"}]}]},
        {"messages": [{"role": "user", "content": {"type": "text"}}]},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"messages": [{"role": "user", "content": ["a", "b"]}]},
        {"messages": "all of them"},
        {"messages": [[[]]]},
        {},
        {"messages": [], "tools": [FUNCTION, {"type": "web_search"}]},
        {"messages": [], "tools": "all"},
        {"messages": [], "web_search_options": {}},
        {"messages": [], "search_parameters": {"mode": "on"}},
        {"messages": [], "plugins": [{"id": "web"}]},
    ],
)
def test_what_a_chat_refers_to_elsewhere_is_not_bounded_by_its_bytes(body: dict[str, Any]) -> None:
    assert _bounds("chat/completions", body).elsewhere


@pytest.mark.parametrize(
    ("body", "elsewhere"),
    [
        ({"input": "hi"}, False),
        ({}, False),
        ({"input": [{"role": "user", "content": "hi"}]}, False),
        ({"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}, False),
        ({"input": [{"type": "function_call", "name": "f"}, {"type": "function_call_output", "output": "1"}]}, False),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]}, False),
        ({"input": "hi", "previous_response_id": None, "tools": None}, False),
        ({"input": "hi", "previous_response_id": "resp_1"}, True),
        ({"input": "hi", "conversation": "conv_1"}, True),
        ({"prompt": {"id": "pmpt_1"}}, True),
        ({"input": "hi", "tools": [{"type": "file_search"}]}, True),
        ({"input": [{"type": "item_reference", "id": "x"}]}, True),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "x"}]}]}, True),
        ({"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]}, True),
        ({"input": [{"type": "computer_call_output", "output": {}}]}, True),
        ({"input": 5}, True),
    ],
)
def test_a_response_is_bounded_where_all_of_it_is_text(body: dict[str, Any], elsewhere: bool) -> None:
    found = _bounds("responses", {**body, "max_output_tokens": 9})

    assert (found.elsewhere, found.output_tokens, found.field) == (elsewhere, 9, "max_output_tokens")


def test_counting_a_response_is_given_no_limit() -> None:
    assert _bounds("responses/input_tokens", {"input": "hi"}).field is None


@pytest.mark.parametrize(
    ("given", "choices"),
    [
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b", "c"]}, 3),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]], "n": 2}, 4),
        ({"prompt": ["a", "b"], "n": 2, "best_of": 5}, 10),
        ({"prompt": []}, 1),
        ({}, 1),
    ],
)
def test_a_completion_answers_each_prompt_as_often_as_is_asked(given: dict[str, Any], choices: int) -> None:
    found = _bounds("completions", {**given, "max_tokens": 7})

    assert (found.choices, found.output_tokens, found.field) == (choices, 7, "max_tokens")


def test_embeddings_have_no_output_and_pictures_no_limit() -> None:
    assert _bounds("embeddings", {"input": ["a"]}).output_tokens == 0
    assert _bounds("moderations", {"input": "a"}).output_tokens == 0
    pictures = _bounds("images/generations", {"prompt": "a", "n": 4})
    assert (pictures.output_tokens, pictures.field, pictures.choices) == (None, None, 4)
