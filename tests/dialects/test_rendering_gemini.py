"""Conversations become requests of generateContent: names with results, signatures where they are wanted."""

import json
from typing import Any

import pytest

from kit.translations import GEMINI
from tollkeeper.core.conversation import (
    Audio,
    Conversation,
    CustomTool,
    Foreign,
    Image,
    Inline,
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
from tollkeeper.core.translation import Rendered, Terms

NEW = Terms(model="gemini-3-pro-preview", origin="google")
OLD = Terms(model="gemini-2.5-flash", origin="google")


def rendered(
    *turns: Turn, terms: Terms = NEW, dialect: str = "anthropic_messages", **members: Any
) -> tuple[Any, Rendered]:
    found = GEMINI.render_request(Conversation(dialect=dialect, model="m", turns=turns, **members), terms)
    return json.loads(found.body), found


def test_the_path_says_what_is_asked() -> None:
    _, found = rendered(stream=True)

    assert (found.path, found.query) == ("models/gemini-3-pro-preview:streamGenerateContent", "alt=sse")
    assert rendered()[1].path.endswith(":generateContent")


ROUND = (
    Turn("system", (Text("s"),)),
    Turn("user", (Text("q"), Audio("UklG", "wav"))),
    Turn("assistant", (ToolUse("x", "f", '{"a":1}'), ToolUse("tkcall_1", "g", ""))),
    Turn(
        "tool",
        (ToolResult("x", (Text("1"), Image(Inline("image/png", "iVBO")))), ToolResult("tkcall_1", (), failed=True)),
    ),
)


def test_a_round_of_tools_has_names_and_stand_ins_for_signatures() -> None:
    body, _ = rendered(*ROUND)
    calls, results = body["contents"][1]["parts"], body["contents"][2]["parts"]

    assert body["systemInstruction"] == {"parts": [{"text": "s"}]}
    assert body["contents"][0]["parts"][1]["inlineData"]["mimeType"] == "audio/wav"
    assert [call.get("thoughtSignature") for call in calls] == ["skip_thought_signature_validator", None]
    assert [call["functionCall"].get("id") for call in calls] == ["x", None]
    assert results[0]["functionResponse"]["name"] == "f"
    assert results[0]["functionResponse"]["response"] == {"result": "1"}
    assert results[0]["functionResponse"]["parts"][0]["inlineData"]["data"] == "iVBO"
    assert results[1]["functionResponse"] == {"name": "g", "response": {"error": ""}}


def test_older_models_need_no_signature() -> None:
    body, _ = rendered(*ROUND, terms=OLD)

    assert "thoughtSignature" not in json.dumps(body)


@pytest.mark.parametrize("origin", ["google", "gemini_generate", "anthropic"])
def test_a_seal_is_shown_to_its_origin_only(origin: str) -> None:
    seal = Seal("secret", origin)
    body, _ = rendered(Turn("assistant", (Reasoning("hm", seal), ToolUse("x", "f", "", seal=seal))))

    assert (json.dumps(body).count("secret") == 2) == (origin != "anthropic")


@pytest.mark.parametrize(
    ("terms", "thinking", "expected"),
    [
        (NEW, Thinking("xhigh"), {"thinkingLevel": "high", "includeThoughts": True}),
        (NEW, Thinking(budget=500, show="omitted"), {"thinkingLevel": "low"}),
        (NEW, Thinking("none"), {"thinkingLevel": "minimal"}),
        (OLD, Thinking("low"), {"thinkingBudget": 1024, "includeThoughts": True}),
        (OLD, Thinking("none"), {"thinkingBudget": 0}),
    ],
)
def test_thinking_is_asked_as_the_model_wants_it(terms: Terms, thinking: Thinking, expected: dict[str, Any]) -> None:
    assert rendered(terms=terms, thinking=thinking)[0]["generationConfig"]["thinkingConfig"] == expected


def test_settings_and_losses() -> None:
    body, found = rendered(
        tools=(Tool("f" * 70, "d", {"type": "object"}), Foreign("gemini_generate", b'{"googleSearch":{}}')),
        tool_choice=ToolChoice("auto", ("f" * 70,)),
        parallel_tools=False,
        output=OutputFormat("schema", {"type": "object"}),
        sampling=Sampling(max_tokens=5, n=2, logit_bias={"1": 2}),
        end_user="u",
    )
    told = body["tools"][0]["functionDeclarations"][0]["name"]

    assert found.renamed == {told: "f" * 70}
    assert body["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED", "allowedFunctionNames": [told]}
    assert body["generationConfig"] == {
        "maxOutputTokens": 5, "candidateCount": 2, "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
    }  # fmt: skip
    assert set(found.dropped) == {"logit_bias", "parallel_tools", "end_user"}


@pytest.mark.parametrize(
    "members",
    [
        {"tools": (CustomTool("g"),)},
        {"tools": (Foreign("openai_chat", b"{}"),)},
        {"turns": (Turn("user", (Image(Stored("f", "openai_chat")),)),)},
    ],
)
def test_what_it_cannot_take_is_refused(members: dict[str, Any]) -> None:
    asked = Conversation(**{"dialect": "openai_chat", "model": "m", "turns": (), **members})
    with pytest.raises(CallerError):
        GEMINI.render_request(asked, NEW)
