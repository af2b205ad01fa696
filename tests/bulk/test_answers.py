"""What is taken from a provider's answer, and which answers are none."""

import json
from typing import Any

import pytest

from tollkeeper.bulk.answers import LONGEST_SAID, BadAnswer, output


def chat(message: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"a": 1}, **more}).encode()


def test_the_text_of_an_answer_is_its_output() -> None:
    found = output(chat({"role": "assistant", "content": "Hé"}))
    assert (json.loads(found.output), found.finish_reason, json.loads(found.usage)) == ("Hé", "stop", {"a": 1})


@pytest.mark.parametrize(
    "more", [{"tool_calls": [{"id": "1"}]}, {"refusal": "I will not"}, {"function_call": {"name": "f"}}]
)
def test_a_message_that_is_more_than_text_is_kept_whole(more: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": None, **more}
    assert json.loads(output(chat(message)).output) == message


def test_null_tool_calls_are_none() -> None:
    assert json.loads(output(chat({"content": "x", "tool_calls": None, "function_call": None})).output) == "x"
    assert json.loads(output(chat({"content": "x", "tool_calls": []})).output) == "x"


def test_several_choices_are_a_list() -> None:
    body = json.dumps({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}).encode()
    assert json.loads(output(body).output) == ["a", "b"]


def test_legacy_completions_and_embeddings() -> None:
    assert json.loads(output(b'{"choices":[{"text":"t","finish_reason":"length"}]}').output) == "t"
    assert json.loads(output(b'{"data":[{"embedding":[0.5,1]}]}').output) == [0.5, 1]
    assert json.loads(output(b'{"data":[{"embedding":[1]},{"embedding":[2]}]}').output) == [[1], [2]]


def test_numbers_keep_their_digits() -> None:
    assert output(b'{"data":[{"embedding":[0.1000000000000000055,1e-30]}]}').output == b"[0.1000000000000000055,1e-30]"


def test_an_answer_of_another_kind_is_its_own_output() -> None:
    body = b'{"id":"resp_1","output":[{"type":"message"}]}'
    assert output(body).output == body


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"choices":[]}', b'{"choices":[{}]}', b'{"choices":[{"message":3}]}', b"{" * 5000]
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer) as raised:
        output(body)
    assert raised.value.said == body.decode()


def test_of_a_bad_answer_so_much_is_kept() -> None:
    with pytest.raises(BadAnswer) as raised:
        output(b"<" + "é".encode() * 3_000_000)
    assert raised.value.said == "<" + "é" * (LONGEST_SAID - 1)


def check(value: Any) -> None:
    if not isinstance(value.get("n"), int):
        raise ValueError("n must be an integer")


def test_a_structured_answer_is_checked_and_becomes_json() -> None:
    assert json.loads(output(chat({"content": '{"n": 3}'}), check).output) == {"n": 3}
    for wrong in ("no json", '{"n": "three"}'):
        with pytest.raises(BadAnswer) as raised:
            output(chat({"content": wrong}), check)
        assert raised.value.said == wrong
