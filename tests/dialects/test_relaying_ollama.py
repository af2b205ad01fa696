"""Ollama's own traffic as it passes: usage heard, output bounded, words found."""

import json

import msgspec
import pytest

from tollkeeper.core.errors import CallerError, UpstreamError
from tollkeeper.core.provider import Provider
from tollkeeper.dialects.ollama_chat.relaying import DIALECT
from tollkeeper.dialects.ollama_generate.relaying import DIALECT as GENERATE

PROVIDER = Provider(name="ollama", base_url="http://127.0.0.1:11434", docs="")


def members(**found: object) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}


def test_an_answer_is_heard() -> None:
    message = {"role": "assistant", "content": "a", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}
    body = json.dumps({"model": "m", "message": message, "done": True, "prompt_eval_count": 5, "eval_count": 3})
    heard = DIALECT.read_answer(body.encode())

    assert heard.reported is not None
    assert (heard.reported.usage.input_tokens, heard.reported.usage.output_tokens, heard.model) == (5, 3, "m")
    assert json.loads(DIALECT.answer_text(body.encode())[2:]) == {"x": 1}


def test_the_very_bytes_pass() -> None:
    reader = DIALECT.reader(hide_usage=False)
    lines = [b'{"message":{"content":"a" } }\n', b'{"done":true,"prompt_eval_count":5,"eval_count":3}\n']

    assert [reader.read(line) for line in lines] == lines
    assert (reader.finished, reader.done, reader.delivered()) == (True, True, "a")
    assert reader.reported is not None


@pytest.mark.parametrize(("options", "limit"), [({"num_predict": 7}, 7), ({"num_predict": -1}, None), ({}, None)])
def test_output_is_bounded_by_the_option(options: object, limit: int | None) -> None:
    found = DIALECT.bounds("api/chat", members(options=options, messages=[]), 100, PROVIDER)

    assert (found.output_tokens, found.stated, found.elsewhere) == (limit, limit is not None, False)
    assert found.input_tokens >= 100


def test_a_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(CallerError):
        DIALECT.bounds("api/chat", members(options={"num_predict": "x"}), 100, PROVIDER)


@pytest.mark.parametrize(
    "asked",
    [{"messages": [{"images": ["QQ=="]}]}, {"messages": 7}, {"prompt": "a", "images": ["QQ=="]}, {"context": [1]}],
)
def test_bytes_bound_no_pictures(asked: dict[str, object]) -> None:
    assert DIALECT.bounds("api/chat", members(**asked), 100, PROVIDER).elsewhere


def test_words_are_found_for_counting() -> None:
    assert DIALECT.prompt_texts(members(messages=[{"role": "user", "content": "hi"}])) == ["user\nhi"]
    assert GENERATE.prompt_texts(members(system="s", prompt="p")) == ["s", "p"]


def test_an_error_is_told_in_its_words() -> None:
    error = UpstreamError("The provider broke off.", code="upstream_cut")

    assert json.loads(DIALECT.render_error(error)) == {"error": "The provider broke off.", "code": "upstream_cut"}
    assert DIALECT.render_error_event(error).endswith(b"}\n")
