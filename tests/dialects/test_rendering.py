"""Conversations become requests that providers take; what cannot cross is named or refused."""

import json
from typing import Any

import msgspec
import pytest

from kit.translations import ALL, ANTHROPIC, CHAT
from tollkeeper.core.conversation import (
    Audio,
    Block,
    Conversation,
    CustomTool,
    File,
    Foreign,
    Image,
    Inline,
    Link,
    OutputFormat,
    Reasoning,
    Sampling,
    Seal,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Rendered, Terms, Translator

PNG = Image(Inline("image/png", "iVBO"))
CLAUDE = Terms(model="claude-opus-5-5", origin="anthropic")
OLD_CLAUDE = Terms(model="claude-sonnet-4-5-20250929", origin="anthropic")
GPT = Terms(model="gpt-5", origin="openai")


def asked(*turns: Turn, dialect: str = "openai_chat", **members: Any) -> Conversation:
    return Conversation(dialect=dialect, model="m", turns=turns or (Turn("user", (Text("hi"),)),), **members)


def claude(conversation: Conversation, terms: Terms = CLAUDE) -> tuple[Any, Rendered]:
    rendered = ANTHROPIC.render_request(conversation, terms)
    return json.loads(rendered.body), rendered


def chat(conversation: Conversation, terms: Terms = GPT) -> tuple[Any, Rendered]:
    rendered = CHAT.render_request(conversation, terms)
    return json.loads(rendered.body), rendered


# --- to Anthropic Messages ------------------------------------------------------------------------------------------


def test_leading_instructions_are_system_and_later_ones_stay_in_place() -> None:
    turns = (
        Turn("system", (Text("a"), Text(""))),
        Turn("developer", (Text("b"),)),
        Turn("user", (Text("c"),)),
        Turn("system", (Text("d"),)),
    )
    new, _ = claude(asked(*turns))
    old, rendered = claude(asked(*turns), OLD_CLAUDE)

    assert [block["text"] for block in new["system"]] == ["a", "b"]
    assert [message["role"] for message in new["messages"]] == ["user", "system"]
    assert [message["role"] for message in old["messages"]] == ["user", "user"]
    assert rendered.dropped == ("later_instructions",)


def test_results_answer_the_calls_at_once_in_one_message_before_any_words() -> None:
    body, _ = claude(
        asked(
            Turn("user", (Text("q"),)),
            Turn("assistant", (Text(""), ToolUse("functions.f:0", "f", '{"x":1}'), ToolUse("b", "g", ""))),
            Turn("tool", (ToolResult("functions.f:0", (Text("1"),)), ToolResult("b", (Text("2"), PNG), failed=True))),
            Turn("user", (Text("go on"),)),
        )
    )
    calls, results = body["messages"][1]["content"], body["messages"][2]["content"]

    assert [block["type"] for block in calls] == ["tool_use", "tool_use"]
    assert [block["input"] for block in calls] == [{"x": 1}, {}]
    assert [block["type"] for block in results] == ["tool_result", "tool_result", "text"]
    assert [block["tool_use_id"] for block in results[:2]] == [block["id"] for block in calls]
    assert calls[0]["id"].replace("_", "").isalnum()
    assert (results[0]["content"], results[1]["is_error"]) == ("1", True)
    assert [part["type"] for part in results[1]["content"]] == ["text", "image"]


def test_arguments_that_are_no_json_are_refused() -> None:
    with pytest.raises(CallerError) as refused:
        claude(asked(Turn("assistant", (ToolUse("a", "f", '{"x":'),))))

    assert (refused.value.status, refused.value.param) == (400, "messages")


def test_tools_keep_their_schemas_and_bounds() -> None:
    tools = (Tool("f"), Tool("g", "d", {"type": "object"}, True, cache="1h"))
    body, _ = claude(asked(tools=tools, parallel_tools=False))
    narrowed, _ = claude(asked(tools=tools, tool_choice=ToolChoice("required", ("g",))))
    never, _ = claude(asked(tools=tools, tool_choice=ToolChoice("none"), parallel_tools=False))

    assert body["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        {"name": "g", "description": "d", "input_schema": {"type": "object"}, "strict": True,
         "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]  # fmt: skip
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert ([tool["name"] for tool in narrowed["tools"]], narrowed["tool_choice"]) == (["g"], {"type": "any"})
    assert (len(never["tools"]), never["tool_choice"]) == (2, {"type": "none"})


@pytest.mark.parametrize(
    ("terms", "thinking", "expected"),
    [
        (CLAUDE, Thinking("high"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (CLAUDE, Thinking(budget=2000), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (CLAUDE, Thinking("none"), {"thinking": {"type": "disabled"}}),
        (OLD_CLAUDE, Thinking("low"), {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (OLD_CLAUDE, Thinking(budget=90_000), {"thinking": {"type": "enabled", "budget_tokens": 63_999}}),
        (OLD_CLAUDE, Thinking("none"), {}),
    ],
)
def test_thinking_is_asked_as_the_model_wants_it(terms: Terms, thinking: Thinking, expected: dict[str, Any]) -> None:
    body, _ = claude(asked(thinking=thinking), terms)

    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == expected


def test_there_is_no_thinking_where_it_would_be_refused() -> None:
    forced, rendered = claude(asked(tools=(Tool("f"),), tool_choice=ToolChoice("required"), thinking=Thinking("low")))
    small, _ = claude(asked(thinking=Thinking("low"), sampling=Sampling(max_tokens=500)), OLD_CLAUDE)
    bare, _ = claude(
        asked(Turn("assistant", (ToolUse("a", "f", ""),)), Turn("tool", (ToolResult("a"),)), thinking=Thinking("low")),
        OLD_CLAUDE,
    )

    assert all("thinking" not in body for body in (forced, small, bare))
    assert rendered.dropped == ("thinking",)


def test_sampling_is_bounded_dropped_or_refused() -> None:
    said = Sampling(temperature=1.5, top_p=0.5, top_k=3, seed=1, stop=("x", " "), n=1, max_tokens=7)
    new, rendered = claude(asked(sampling=said))
    old, kept = claude(asked(sampling=said), OLD_CLAUDE)

    assert set(rendered.dropped) == {"temperature", "top_p", "top_k", "seed"}
    assert (new["max_tokens"], new["stop_sequences"]) == (7, ["x"])
    assert (old["temperature"], old["top_k"], "top_p" in old) == (1.0, 3, False)
    assert set(kept.dropped) == {"temperature", "top_p", "seed"}
    with pytest.raises(CallerError) as refused:
        claude(asked(sampling=Sampling(n=2)))
    assert refused.value.param == "n"
    with pytest.raises(CallerError):
        claude(asked(sampling=said), Terms(model="claude-opus-5-5", origin="anthropic", strict=True))


def test_an_answer_s_form_is_asked_of_those_who_know_it() -> None:
    wanted = OutputFormat("schema", {"type": "object"}, "n")
    body, _ = claude(asked(output=wanted, thinking=Thinking("low")))
    _, rendered = claude(asked(output=wanted), Terms(model="claude-3-haiku-20240307", origin="anthropic"))

    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert rendered.dropped == ("output",)


@pytest.mark.parametrize(
    "block",
    [
        Audio("UklG", "wav"),
        Image(Inline("image/bmp", "Qk0=")),
        Image(Stored("file-1", "openai_chat")),
        File(Inline("text/csv", "YQ==")),
        File(Stored("file-1", "openai_chat")),
    ],
)
def test_content_it_cannot_take_is_refused_whatever_the_terms(block: Block) -> None:
    with pytest.raises(CallerError) as refused:
        claude(asked(Turn("user", (block,))))

    assert refused.value.code == "unsupported_parameter"


@pytest.mark.parametrize("tool", [CustomTool("g"), Foreign("openai_chat", b'{"type":"web_search"}')])
def test_tools_it_cannot_take_are_refused(tool: Any) -> None:
    with pytest.raises(CallerError):
        claude(asked(tools=(tool,)))


# --- to Chat Completions --------------------------------------------------------------------------------------------


def test_images_in_results_follow_the_whole_run_of_results() -> None:
    body, _ = chat(
        asked(
            Turn("assistant", (ToolUse("a", "f", ""), ToolUse("b", "g", '{"x":1}'))),
            Turn("tool", (ToolResult("a", (PNG,)), ToolResult("b", (Text("2"),), failed=True))),
            Turn("user", (Text("go on"),)),
        )
    )

    assert [message["role"] for message in body["messages"]] == ["assistant", "tool", "tool", "user", "user"]
    assert body["messages"][0]["content"] is None
    assert [call["function"]["arguments"] for call in body["messages"][0]["tool_calls"]] == ["{}", '{"x":1}']
    assert body["messages"][2]["content"] == "Error: 2"
    assert body["messages"][3]["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBO"


def test_names_are_shortened_and_found_again() -> None:
    name = "mcp__" + "x" * 90
    body, rendered = chat(
        asked(
            Turn("assistant", (ToolUse("a", name, ""),)),
            tools=(Tool(name),),
            tool_choice=ToolChoice("named", (name,)),
            dialect="anthropic_messages",
        )
    )
    told = body["tools"][0]["function"]["name"]

    assert len(told) == 64
    assert rendered.renamed == {told: name}
    assert body["tool_choice"]["function"]["name"] == told
    assert body["messages"][0]["tool_calls"][0]["function"]["name"] == told


def test_what_chat_has_no_word_for_is_named() -> None:
    _, rendered = chat(
        asked(
            Turn("user", (Text("a", cache="5m"),)),
            dialect="anthropic_messages",
            sampling=Sampling(top_k=4, max_tokens=9),
            own={"context_management": {}},
            unread=("messages.odd",),
        )
    )

    assert set(rendered.dropped) == {"context_management", "messages.odd", "cache", "top_k"}


def test_terms_name_the_bound_and_ask_for_usage() -> None:
    limited = asked(sampling=Sampling(max_tokens=9), stream=True)
    new, _ = chat(limited)
    old, _ = chat(limited, Terms(model="m", origin="o", limit_field="max_tokens", reports_stream_usage=False))

    assert (new["max_completion_tokens"], new["stream_options"]) == (9, {"include_usage": True})
    assert (old["max_tokens"], "stream_options" in old) == (9, False)


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        (Thinking(budget=2000), "low"),
        (Thinking(budget=30_000), "high"),
        (Thinking("max"), "xhigh"),
        (Thinking("none"), None),
    ],
)
def test_thinking_becomes_an_effort(thinking: Thinking, effort: str | None) -> None:
    body, _ = chat(asked(thinking=thinking, dialect="anthropic_messages"))

    assert body.get("reasoning_effort") == effort


# --- seals, and the way back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["anthropic", "anthropic_messages", "gemini", "openai_chat"])
def test_a_seal_is_shown_to_its_origin_only(origin: str) -> None:
    thought = Turn("assistant", (Reasoning("hm", Seal('{"signature":"secret"}', origin)), Text("a")))
    used = Turn("assistant", (ToolUse("a", "f", "", seal=Seal("secret", origin)),))
    at_claude = json.dumps(claude(asked(thought, used))[0])
    at_gpt = json.dumps(chat(asked(thought, used))[0])

    assert ("secret" in at_claude) == origin.startswith("anthropic")
    assert ("secret" in at_gpt) == (origin == "openai_chat")


def test_reasoning_goes_back_in_words_to_those_who_want_it() -> None:
    turn = Turn("assistant", (Reasoning("hm"), Text("a")))
    wanted, _ = chat(asked(turn), Terms(model="m", origin="deepseek", replays_reasoning=True))
    unwanted, rendered = chat(asked(turn))

    assert wanted["messages"][0]["reasoning_content"] == "hm"
    assert "reasoning_content" not in unwanted["messages"][0]
    assert rendered.dropped == ("reasoning",)


TURNS = (
    Turn("system", (Text("be brief"),)),
    Turn("user", (Text("look"), PNG, Image(Link("https://a/b.png")))),
    Turn("assistant", (Text("I look"), ToolUse("a", "f", '{"x":1}'), ToolUse("b", "g", ""))),
    Turn("tool", (ToolResult("a", (Text("1"),)), ToolResult("b", (Text("2"),)))),
    Turn("user", (Text("and?"), File(Inline("application/pdf", "JVBE"), "f.pdf"))),
)


def _plain(block: Block, lost: tuple[str, ...]) -> Block:
    """Gemini wants a type for what it is to fetch, and a name for each result: where none is known one is taken."""
    if isinstance(block, Image) and isinstance(block.source, Link):
        return msgspec.structs.replace(block, source=Link(block.source.url))
    unnamed = isinstance(block, ToolResult) or (isinstance(block, File) and "file.name" in lost)
    return msgspec.structs.replace(block, name=None) if unnamed else block


LOST_ON_THE_WAY = {"openai_responses": ("stop",), "gemini_generate": ("file.name", "end_user", "parallel_tools")}
"""What a dialect has no word for, of what is asked below."""


FETCHING = [translator for translator in ALL if not translator.name.startswith("ollama_")]
"""Those who take pictures by their address; for Ollama's see test_rendering_ollama."""


@pytest.mark.parametrize("dialect", [translator.name for translator in FETCHING])
@pytest.mark.parametrize("translator", FETCHING, ids=lambda translator: translator.name)
def test_there_and_back_a_conversation_is_the_same(translator: Translator, dialect: str) -> None:
    first = asked(
        *TURNS,
        dialect=dialect,
        tools=(Tool("f", "d", {"type": "object", "properties": {"x": {"type": "integer"}}}), Tool("g")),
        tool_choice=ToolChoice("named", ("f",)),
        parallel_tools=False,
        sampling=Sampling(max_tokens=50, temperature=0.5, stop=("x",)),
        stream=True,
        end_user="u",
    )
    rendered = translator.render_request(first, Terms(model="m", origin="o"))
    again = translator.read_request(rendered.body, rendered.path)
    empty = {"type": "object", "properties": {}}
    schemas = [msgspec.structs.asdict(tool).get("schema") or empty for tool in again.tools]
    lost = LOST_ON_THE_WAY.get(translator.name, ())
    kept = msgspec.structs.replace(first.sampling, stop=None if "stop" in lost else first.sampling.stop)

    assert rendered.dropped == lost
    assert again.unread == ()
    assert [[_plain(block, lost) for block in turn.blocks] for turn in again.turns] == [
        [_plain(block, lost) for block in turn.blocks] for turn in first.turns
    ]
    assert [turn.role for turn in again.turns] == [turn.role for turn in first.turns]
    assert schemas == [first.tools[0].schema, empty]  # type: ignore[union-attr]
    assert again.sampling == kept
    for name in ("tool_choice", "parallel_tools", "stream", "end_user", "model"):
        assert getattr(again, name) == (None if name in lost else getattr(first, name)), name
