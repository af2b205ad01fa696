"""Conversations on their way to Ollama: what it takes, what is named as left out, what is refused."""

import json
from typing import Any

import pytest

from kit.translations import ALL, CHAT, OLLAMA, OLLAMA_GENERATE
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Rendered, Terms

TERMS = Terms(model="qwen3", origin="ollama")
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def read(*messages: dict[str, Any], **members: Any) -> Conversation:
    asked = messages or ({"role": "user", "content": "hi"},)
    return CHAT.read_request(json.dumps({"model": "m", "messages": asked, **members}).encode(), "chat/completions")


def rendered(*messages: dict[str, Any], terms: Terms = TERMS, **members: Any) -> Rendered:
    return OLLAMA.render_request(read(*messages, **members), terms)


def body(*messages: dict[str, Any], terms: Terms = TERMS, **members: Any) -> Any:
    return json.loads(rendered(*messages, terms=terms, **members).body)


def call(name: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": f"f{name}", "arguments": '{"x":1}'}}


def test_a_conversation_of_openai_s_is_asked() -> None:
    found = rendered(
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what?"}, PICTURE]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}, PICTURE]},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        max_tokens=9,
        temperature=0.5,
        stream=True,
    )

    calls = [{"id": name, "function": {"name": f"f{name}", "arguments": {"x": 1}}} for name in "ab"]
    assert (found.path, found.dropped) == ("api/chat", ())
    assert json.loads(found.body) == {
        "model": "qwen3",
        "stream": True,
        "options": {"num_predict": 9, "temperature": 0.5},
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "what?", "images": ["iVBORw0KGgo="]},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": calls},
            {"role": "tool", "content": "1", "tool_name": "fa", "tool_call_id": "a"},
            {"role": "tool", "content": "2", "tool_name": "fb", "tool_call_id": "b"},
            {"role": "user", "content": "From the result of fa:", "images": ["iVBORw0KGgo="]},
        ],
    }


def test_a_stream_is_never_what_it_falls_back_to() -> None:
    assert body()["stream"] is False


def test_a_schema_and_plain_json_are_asked() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}

    assert body(response_format={"type": "json_object"})["format"] == "json"
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert body(response_format=asked)["format"] == schema


@pytest.mark.parametrize(
    ("model", "effort", "think"),
    [
        ("qwen3", "high", True),
        ("qwen3", "none", False),
        ("gpt-oss:20b", "xhigh", "high"),
        ("gpt-oss:20b", "minimal", "low"),
        ("gpt-oss:20b", "none", False),
    ],
)
def test_thinking_is_asked_for(model: str, effort: str, think: Any) -> None:
    assert body(reasoning_effort=effort, terms=Terms(model=model, origin="ollama"))["think"] == think


def test_tools_that_are_not_allowed_are_not_shown() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "ab"]
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "b"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}

    assert [tool["function"]["name"] for tool in body(tools=tools)["tools"]] == ["a", "b"]
    assert [tool["function"]["name"] for tool in body(tools=tools, tool_choice=choice)["tools"]] == ["b"]
    assert "tools" not in body(tools=tools, tool_choice="none")
    assert rendered(tools=tools, tool_choice="required").dropped == ("tool_choice",)


@pytest.mark.parametrize(
    ("members", "dropped"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"verbosity": "low"}, "verbosity"),
        ({"user": "ann"}, "user"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"metadata": {"a": "b"}}, "metadata"),
    ],
)
def test_what_ollama_has_no_word_for_is_named(members: dict[str, Any], dropped: str) -> None:
    assert rendered(**members).dropped == (dropped,)


def test_what_is_named_is_refused_where_terms_are_strict() -> None:
    with pytest.raises(CallerError) as caught:
        rendered(logit_bias={"1": 2}, terms=Terms(model="m", origin="ollama", strict=True))
    assert caught.value.param == "logit_bias"


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a/b.png"}}, "messages.content.image_url"),
        ({"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}, "messages.content.input_audio"),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ=="}}, "messages.content.file"),
    ],
)
def test_what_would_change_the_question_is_refused(part: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerError) as caught:
        rendered({"role": "user", "content": [part]})
    assert caught.value.param == param


def test_several_answers_are_refused() -> None:
    assert "n" not in body(n=1)
    with pytest.raises(CallerError):
        rendered(n=2)


def test_a_request_of_ollama_s_own_comes_back_whole() -> None:
    asked = {
        "model": "qwen3",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "keep_alive": 0,
        "options": {"num_predict": 9, "num_ctx": 4096},
    }
    found = OLLAMA.render_request(OLLAMA.read_request(json.dumps(asked).encode(), "api/chat"), TERMS)

    assert json.loads(found.body) == asked
    assert found.dropped == ()


def test_a_question_becomes_a_chat_unless_it_rests_on_ollama_s_templates() -> None:
    asked = {"model": "m", "prompt": "hi", "options": {"num_ctx": 9}}
    found = OLLAMA.render_request(OLLAMA_GENERATE.read_request(json.dumps(asked).encode(), "api/generate"), TERMS)

    assert json.loads(found.body)["messages"] == [{"role": "user", "content": "hi"}]
    assert json.loads(found.body)["options"] == {"num_ctx": 9}
    raw = OLLAMA_GENERATE.read_request(json.dumps({**asked, "raw": True}).encode(), "api/generate")
    for translator in ALL:
        with pytest.raises(CallerError) as caught:
            translator.render_request(raw, TERMS)
        assert caught.value.param == "raw"


@pytest.mark.parametrize("other", [one for one in ALL if one not in (OLLAMA, OLLAMA_GENERATE)], ids=lambda t: t.name)
def test_ollama_s_own_options_are_named_to_others(other: Any) -> None:
    asked = {"messages": [{"role": "user", "content": "hi"}], "options": {"min_p": 0.1, "num_ctx": 9}, "keep_alive": 5}
    found = other.render_request(OLLAMA.read_request(json.dumps(asked).encode(), "api/chat"), TERMS)

    assert set(found.dropped) == {"options.min_p", "options.num_ctx", "keep_alive"}
