"""Rows to requests: every form that a row may have, and what is said of those that have none."""

import json
from typing import Any

import pytest

from tollkeeper.bulk.records import Record
from tollkeeper.bulk.shaping import EMBEDDINGS, RowProblem, Shape
from tollkeeper.core.template import Template
from tollkeeper.wire import json_text


def body(shape: Shape, value: Any) -> Any:
    return json.loads(shape.request(Record(4, 9, value)).body)


def test_a_string_is_a_prompt() -> None:
    assert body(Shape(model="m"), "Hello") == {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_row_may_have_a_prompt_messages_and_parameters_of_its_own() -> None:
    assert body(Shape(model="m"), {"prompt": "Hi", "temperature": 0.5, "id": 3, "note": "mine"}) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
    }
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert body(Shape(model="m"), {"messages": messages, "model": "own"}) == {"model": "own", "messages": messages}


def test_the_jobs_parameters_win() -> None:
    shape = Shape(model="m", parameters={"temperature": 0, "max_tokens": 5})
    assert body(shape, {"prompt": "Hi", "temperature": 1})["temperature"] == 0


def test_an_openai_batch_line_is_taken_as_it_is() -> None:
    line = {
        "custom_id": "r1",
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {"model": "e", "input": "x", "odd": 1},
    }
    request = Shape(model="m").request(Record(0, 1, line))
    assert (request.id, request.path, json.loads(request.body)) == ("r1", "embeddings", line["body"])


def test_columns_fill_the_prompt_and_the_system_message() -> None:
    shape = Shape(model="m", prompt=Template("About {{ topic }}"), system=Template("You are {{ who }}"))
    assert body(shape, {"topic": "trains", "who": "brief", "temperature": "hot"}) == {
        "model": "m",
        "messages": [{"role": "system", "content": "You are brief"}, {"role": "user", "content": "About trains"}],
    }


def test_a_missing_column_is_named_with_its_row() -> None:
    shape = Shape(model="m", prompt=Template("{{ topic }} {{ style }}"))
    with pytest.raises(RowProblem, match=r"row 4 \(line 9\) has no column 'style'") as problem:
        shape.request(Record(4, 9, {"id": "x", "topic": "trains"}))
    assert problem.value.id == "x"


def test_embeddings_take_text_or_input() -> None:
    shape = Shape(model="e", endpoint=EMBEDDINGS)
    assert body(shape, "some text") == {"model": "e", "input": "some text"}
    assert body(shape, {"input": ["a", "b"]}) == {"model": "e", "input": ["a", "b"]}


def test_a_schema_asks_for_structured_answers() -> None:
    plain = {"type": "object", "properties": {"n": {"type": "integer"}}}
    closed = {**plain, "required": ["n"], "additionalProperties": False}
    for schema, strict in ((closed, True), (plain, False)):  # OpenAI refuses an open one that is to be kept to strictly
        asked = body(Shape(model="m", schema=schema), "x")["response_format"]
        assert asked == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": strict}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"colour": "red", "size": 3}, "neither 'prompt' nor 'messages' nor 'body'"),
        ({"body": {"model": "m", "stream": True, "messages": []}}, "'stream' cannot"),
        ({"body": {"messages": []}, "method": "GET"}, "only POST"),
        ({"body": {"messages": []}, "url": 5}, "'url'"),
        (None, "could not be read"),
    ],
)
def test_a_row_that_cannot_be_asked_says_why(value: Any, words: str) -> None:
    with pytest.raises(RowProblem, match=words):
        Shape(model="m").request(Record(0, 1, value))


def test_a_row_without_any_model_says_so() -> None:
    with pytest.raises(RowProblem, match="--model"):
        Shape().request(Record(0, 1, "Hi"))


@pytest.mark.parametrize("system", [None, "Be \u201cbrief\u201d"])
def test_the_members_that_a_request_comes_with_are_those_of_its_body(system: str | None) -> None:
    shape = Shape(
        model='m"1',
        system=None if system is None else Template(system),
        parameters={"temperature": 0, 'odd"name': [1], "response_format": {"type": "text"}},
        schema={"type": "object"},
    )
    request = shape.request(Record(0, 1, {"prompt": 'Grüße, "you"\n', "id": 7}))
    assert (request.id, request.path, request.model) == (7, "chat/completions", 'm"1')
    assert json.loads(request.body) == {
        "model": 'm"1',
        "messages": [
            *([] if system is None else [{"role": "system", "content": system}]),
            {"role": "user", "content": 'Grüße, "you"\n'},
        ],
        "temperature": 0,
        'odd"name': [1],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": False},
        },
    }
    read = json_text.members(request.body)
    assert {name: bytes(value) for name, value in request.members.items()} == {
        name: bytes(value) for name, value in read.items()
    }
