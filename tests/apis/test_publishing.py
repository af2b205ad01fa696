"""[apis] in the config: mistakes are all found at once, each with its place; what callers are told of an API."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tollkeeper.apis.importing import Modules
from tollkeeper.apis.means import Means
from tollkeeper.apis.options import ApiOptions
from tollkeeper.apis.publishing import publish
from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import ConfigError


async def unasked(call: Call) -> Reply:
    raise AssertionError("no model is asked while APIs are published")


def published(folder: Path, **tables: dict[str, Any]) -> Any:
    options = {name.replace("__", " "): msgspec.convert(table, ApiOptions) for name, table in tables.items()}
    return publish(options, Modules(folder), lambda dotted: "file:1: ", Means(unasked, lambda *_, **__: None, float))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"path": "/v1/chat"}, "apis.x.path: '/v1/chat' is the gate's own"),
        ({"path": "/docs"}, "is the gate's own"),
        ({"path": "/a//b"}, "without empty parts"),
        ({"path": "/a/../b"}, "without empty parts"),
        ({"prompt": "{{ topic"}, "apis.x.prompt: The template is not valid: line 1"),
        ({"system": "{% if %}"}, "apis.x.system: "),
        ({"answer": "{{ topic }}"}, "apis.x.answer: '{{ topic }}' is unknown; expected one of: data, finish_reason"),
        ({"prompt": "{{ a }} {{ b }}", "input": {"a": "string"}}, "apis.x.prompt: '{{ b }}' is not among"),
        ({"prompt": "{{ a }}", "input": {"a": "text"}}, "apis.x.input: 'a': expected one of string"),
        ({"prompt": "{{ a }}", "input": {"a": "string", "model": "string"}}, "'model' is a field that every API has"),
        ({"input": {"$schema": "x", "type": "string"}}, "expected the schema of an object"),
        ({"input": "missing.json"}, "cannot read a JSON Schema from missing.json"),
        ({"output": {"type": "object", "properties": {"a": {"type": "nonsense"}}}}, "apis.x.output: not a JSON Schema"),
        ({"parameters": {"messages": []}}, "apis.x.parameters: 'messages' is set otherwise"),
    ],
)
def test_a_mistake_is_named_with_its_place(table: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        published(tmp_path, x=table)

    assert problem in str(caught.value)
    assert str(caught.value).startswith("file:1: apis.x.")


def test_every_mistake_is_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        published(tmp_path, a={"path": "/same"}, b={"path": "/same"}, c={"prompt": "{{"}, d__={})

    assert len(caught.value.problems) == 3
    assert "'/same' is that of 'a' already" in caught.value.problems[0]


def test_a_chat_api_shows_a_chat_request(tmp_path: Path) -> None:
    described = published(tmp_path, hello={})["hello"].description

    assert (described.path, described.answer_example[:8]) == ("/hello", "Answer: ")
    assert described.request["required"] == ["messages", "model"]
    assert described.example["model"]


def test_a_prompts_fields_are_the_request(tmp_path: Path) -> None:
    described = published(tmp_path, x={"prompt": "{{ b }}{{ a }}", "model": "m"})["x"].description

    assert list(described.request["properties"]) == ["a", "b", "model", "stream"]
    assert described.request["required"] == ["a", "b"]


def test_fields_that_a_template_copes_without_are_not_required(tmp_path: Path) -> None:
    described = published(tmp_path, x={"prompt": "{{ a | default('cats') }}", "model": "m"})["x"].description

    assert described.request["required"] == []


def test_an_example_of_ones_own_is_shown(tmp_path: Path) -> None:
    described = published(
        tmp_path, x={"prompt": "{{ a }}", "input": {"a": "string"}, "example": {"a": "cats"}, "description": "Of a."}
    )["x"].description

    assert (described.example, described.text) == ({"a": "cats"}, "Of a.")
