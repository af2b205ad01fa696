"""Requests of generateContent become conversations, in both spellings, with calls and results that find each other."""

import json
from typing import Any

import pytest

from kit.translations import GEMINI
from tollkeeper.core.conversation import (
    Audio,
    Conversation,
    File,
    Foreign,
    Image,
    Inline,
    Link,
    OutputFormat,
    Reasoning,
    Seal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from tollkeeper.core.errors import CallerError

PATH = "models/gemini-x:generateContent"


def read(path: str = PATH, **members: Any) -> Conversation:
    return GEMINI.read_request(json.dumps(members).encode(), path)


def test_the_path_names_model_and_method() -> None:
    streamed = read("models/gemini-x:streamGenerateContent", contents="hi")

    assert (streamed.model, streamed.stream, streamed.turns) == ("gemini-x", True, (Turn("user", (Text("hi"),)),))
    assert read(contents=[]).stream is False
    with pytest.raises(CallerError):
        read("models", contents=[])


def test_every_kind_of_part_is_read_in_either_spelling() -> None:
    found = read(
        system_instruction={"parts": [{"text": "s"}]},
        contents=[
            {
                "role": "user",
                "parts": [
                    {"text": "a"},
                    {"inline_data": {"mime_type": "image/png", "data": "iVBO"}},
                    {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
                    {"fileData": {"fileUri": "https://a/f.pdf", "mimeType": "application/pdf"}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True, "thoughtSignature": "sig"},
                    {"text": "b"},
                    {"executableCode": {"code": "1"}},
                ],
            },
        ],
    )

    assert found.turns == (
        Turn("system", (Text("s"),)),
        Turn(
            "user",
            (
                Text("a"),
                Image(Inline("image/png", "iVBO")),
                Audio("UklG", "wav"),
                File(Link("https://a/f.pdf", "application/pdf")),
            ),
        ),
        Turn(
            "assistant",
            (
                Reasoning("hm", Seal("sig", "gemini_generate")),
                Text("b"),
                Foreign("gemini_generate", b'{"executableCode":{"code":"1"}}'),
            ),
        ),
    )


def test_results_find_their_calls_by_id_or_by_name_and_order() -> None:
    found = read(
        contents=[
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "dGsxLmNsYXVkZS5z"},
                    {"functionCall": {"name": "f"}},
                    {"functionCall": {"name": "g", "id": "own"}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "g", "id": "own", "response": {"error": "no"}}},
                    {"functionResponse": {"name": "f", "response": {"result": "1"}}},
                    {"functionResponse": {"name": "f", "response": {"a": 1, "b": 2}}},
                    {"text": "go on"},
                ],
            },
        ]
    )
    calls, results, words = found.turns

    assert calls.blocks[0] == ToolUse("tkcall_0", "f", '{"x":1}', seal=Seal("s", "claude"))
    assert results.blocks == (
        ToolResult("own", (Text("no"),), True, "g"),
        ToolResult("tkcall_0", (Text("1"),), False, "f"),
        ToolResult("tkcall_1", (Text('{"a":1,"b":2}'),), False, "f"),
    )
    assert words == Turn("user", (Text("go on"),))


def test_settings_are_read() -> None:
    found = read(
        contents=[],
        tools=[
            {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]},
            {"googleSearch": {}},
        ],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        generationConfig={
            "maxOutputTokens": 5, "topK": 3, "stopSequences": ["x"], "responseSchema": {"type": "STRING"},
            "responseMimeType": "application/json", "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True},
            "brandNew": 1,
        },
        safetySettings=[],
    )  # fmt: skip

    assert found.tools == (
        Tool("f", None, {"type": "object", "properties": {}}),
        Foreign("gemini_generate", b'{"googleSearch":{}}'),
    )
    assert found.tool_choice == ToolChoice("named", ("f",))
    assert dict(found.sampling.said()) == {"max_tokens": 5, "top_k": 3, "stop": ("x",)}
    assert (found.output, found.thinking) == (
        OutputFormat("schema", {"type": "string"}),
        Thinking("high", None, "auto"),
    )
    assert (found.unread, found.hints) == (("generationConfig.brandNew",), ("safetySettings",))


@pytest.mark.parametrize(
    ("members", "essential"),
    [
        ({"cachedContent": "cachedContents/1"}, ("cachedContent",)),
        ({"generationConfig": {"responseModalities": ["IMAGE"]}}, ("generationConfig.responseModalities",)),
        ({"generationConfig": {"responseModalities": ["TEXT"]}}, ()),
    ],
)
def test_what_only_gemini_can_do_is_known(members: dict[str, Any], essential: tuple[str, ...]) -> None:
    assert read(contents=[], **members).essential == essential


def test_bad_requests_are_refused_with_their_place() -> None:
    with pytest.raises(CallerError) as refused:
        read(contents=[{"parts": [{"functionCall": {}}]}])

    assert refused.value.param == "contents[0].parts[0].functionCall.name"


def test_bytes_in_the_alphabet_for_urls_are_read_as_base64() -> None:
    found = read(contents=[{"parts": [{"inlineData": {"mimeType": "image/png", "data": "iV-_"}}]}])

    assert found.turns == (Turn("user", (Image(Inline("image/png", "iV+/")),)),)


def test_a_model_s_name_may_have_slashes_and_colons() -> None:
    assert read("models/ollama/qwen3:8b:generateContent", contents="hi").model == "ollama/qwen3:8b"
