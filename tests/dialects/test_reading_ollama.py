"""Requests of Ollama's clients, read into conversations."""

import json
from typing import Any

import pytest

from kit.translations import OLLAMA, OLLAMA_GENERATE
from tollkeeper.core.conversation import (
    Conversation,
    Image,
    Inline,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from tollkeeper.core.errors import CallerError


def chat(*messages: dict[str, Any], **members: Any) -> Conversation:
    asked = messages or ({"role": "user", "content": "hi"},)
    return OLLAMA.read_request(json.dumps({"model": "m", "messages": asked, **members}).encode(), "api/chat")


def generate(**members: Any) -> Conversation:
    return OLLAMA_GENERATE.read_request(json.dumps({"model": "m", **members}).encode(), "api/generate")


def test_turns_with_pictures_thoughts_and_calls_without_ids() -> None:
    calls = [{"function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "f", "arguments": {}}}]
    found = chat(
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what?", "images": ["iVBORw0KGgo="]},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [*calls]},
        {"role": "tool", "content": "1", "tool_name": "f"},
        {"role": "tool", "content": "2", "tool_name": "f"},
        {"role": "user", "content": "and now?"},
    )

    assert found.turns == (
        Turn("system", (Text("be brief"),)),
        Turn("user", (Text("what?"), Image(Inline("image/png", "iVBORw0KGgo=")))),
        Turn("assistant", (Reasoning("hm"), ToolUse("call_0", "f", '{"x":1}'), ToolUse("call_1", "f", ""))),
        Turn("tool", (ToolResult("call_0", (Text("1"),), name="f"), ToolResult("call_1", (Text("2"),), name="f"))),
        Turn("user", (Text("and now?"),)),
    )


def test_results_find_their_calls_by_id_by_name_or_in_order() -> None:
    calls = [{"id": name, "function": {"name": f"f{name}", "arguments": {}}} for name in "abc"]
    found = chat(
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "3", "tool_call_id": "c"},
        {"role": "tool", "content": "2", "tool_name": "fb"},
        {"role": "tool", "content": "1"},
    )

    assert [(block.id, block.content[0].text) for block in found.turns[1].blocks] == [  # type: ignore[union-attr]
        ("c", "3"),
        ("b", "2"),
        ("a", "1"),
    ]


def test_a_result_that_nobody_waits_for_is_refused() -> None:
    with pytest.raises(CallerError) as caught:
        chat({"role": "user", "content": "hi"}, {"role": "tool", "content": "1", "tool_name": "f"})
    assert caught.value.param == "messages[1].tool_name"


def test_a_stream_is_what_a_client_gets_unless_it_says_otherwise() -> None:
    assert chat().stream
    assert not chat(stream=False).stream
    assert generate(prompt="a").stream


def test_options_are_read_and_those_that_only_ollama_knows_are_named() -> None:
    options = {"num_predict": 9, "temperature": 1, "top_p": 0.5, "top_k": 4, "seed": 7, "stop": ["x"]}
    found = chat(options={**options, "num_ctx": 4096, "min_p": 0.1}, keep_alive=0, logprobs=True, top_logprobs=2)

    assert found.sampling == Sampling(
        max_tokens=9, temperature=1, top_p=0.5, top_k=4, seed=7, stop=("x",), logprobs=True, top_logprobs=2
    )
    assert found.own == {"keep_alive": 0, "options.num_ctx": 4096, "options.min_p": 0.1}
    assert set(found.hints) == {"keep_alive", "options.num_ctx"}


@pytest.mark.parametrize("limit", [-1, -2])
def test_a_limit_below_zero_is_none(limit: int) -> None:
    assert chat(options={"num_predict": limit}).sampling == Sampling()


@pytest.mark.parametrize(
    ("think", "thinking"),
    [(True, Thinking()), (False, Thinking("none")), ("high", Thinking("high")), (None, None), ("", None)],
)
def test_thinking_is_read(think: Any, thinking: Thinking | None) -> None:
    assert chat(think=think).thinking == thinking


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("json", OutputFormat("json")),
        ({"type": "object"}, OutputFormat("schema", {"type": "object"})),
        ("", None),
        (None, None),
    ],
)
def test_formats_are_read(given: Any, output: OutputFormat | None) -> None:
    assert chat(format=given).output == output


def test_tools_are_read() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}

    assert chat(tools=[tool]).tools == (Tool("f", "d", {"type": "object"}),)


def test_generate_is_one_question() -> None:
    found = generate(system="be brief", prompt="what?", images=["/9j/4AAQ"], suffix="", context=[], raw=False)

    assert found.turns == (
        Turn("system", (Text("be brief"),)),
        Turn("user", (Text("what?"), Image(Inline("image/jpeg", "/9j/4AAQ")))),
    )
    assert (found.own, found.essential) == ({}, ())
    asked = generate(prompt="a", suffix="b", raw=True, template="{{ .Prompt }}", context=[1])
    assert set(asked.essential) == {"suffix", "raw", "template", "context"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x"}], "options": {"seed": "x"}}, "options.seed"),
        ({"messages": [{"role": "user", "content": "x"}], "format": 7}, "format"),
        ({"messages": [{"role": "user", "content": "x"}], "think": 7}, "think"),
    ],
)
def test_a_wrong_field_is_named(body: Any, param: str) -> None:
    with pytest.raises(CallerError) as caught:
        OLLAMA.read_request(json.dumps(body).encode(), "api/chat")
    assert caught.value.param == param


def test_an_empty_prompt_loads_no_model() -> None:
    with pytest.raises(CallerError) as caught:
        generate(prompt="")
    assert caught.value.param == "prompt"
