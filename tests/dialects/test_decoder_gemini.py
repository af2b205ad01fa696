"""Gemini's chunks become ordered neutral pieces: thoughts, signatures, calls without ids, sources in bytes."""

import json
from typing import Any

import pytest

from kit.translations import GEMINI, SITTING, decoded
from tollkeeper.core.answers import gathered
from tollkeeper.core.conversation import Foreign, Reasoning, Seal, Text, ToolUse
from tollkeeper.core.deltas import End, Failed, Start


def chunk(*parts: dict[str, Any], finish: str | None = None, **members: Any) -> bytes:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": members.pop("index", 0)}
    candidate |= members.pop("candidate", {})
    if finish is not None:
        candidate["finishReason"] = finish
    found = {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1", **members}
    return b"data: " + json.dumps(found).encode() + b"\r\n\r\n"


def blocks(*chunks: bytes) -> list[Any]:
    return list(gathered(decoded(GEMINI, b"".join(chunks))).choices[0].blocks)


def test_thoughts_words_and_their_signatures() -> None:
    found = blocks(
        chunk({"text": "h", "thought": True}),
        chunk({"text": "m", "thought": True, "thoughtSignature": "sig"}),
        chunk({"text": "a"}, {"text": "b"}),
        chunk({"text": "", "thoughtSignature": "end"}, finish="STOP"),
    )

    assert found == [
        Reasoning("hm", Seal("sig", "someone")),
        Text("ab"),
        Reasoning("", Seal("end", "someone"), redacted=True),
    ]


def test_calls_have_ids_and_seals_and_mean_that_results_are_awaited() -> None:
    raw = chunk({"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "sig"})
    raw += chunk({"functionCall": {"name": "g", "id": "own"}}, finish="STOP")
    answer = gathered(decoded(GEMINI, raw))

    assert answer.choices[0].stop == "tool"
    assert answer.choices[0].blocks == (
        ToolUse("tkcall_req1_0", "f", '{"x": 1}', seal=Seal("sig", "someone")),
        ToolUse("own", "g", ""),
    )


def test_hosted_tools_and_pictures_pass_as_they_are() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    found = blocks(chunk({**code, "thoughtSignature": "s"}, {"inlineData": {"mimeType": "image/png"}}, finish="STOP"))

    assert [json.loads(piece.data) for piece in found if isinstance(piece, Foreign)] == [
        {**code, "thoughtSignature": "s"},
        {"inlineData": {"mimeType": "image/png"}},
    ]


def test_sources_are_placed_in_characters() -> None:
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "t"}}],
        "groundingSupports": [{"segment": {"startIndex": 3, "endIndex": 6}, "groundingChunkIndices": [0, 7]}],
    }
    text = blocks(
        chunk({"text": "é é ok"}), chunk({"text": ""}, finish="STOP", candidate={"groundingMetadata": metadata})
    )[0]

    assert isinstance(text, Text)
    assert [(cited.url, cited.start, cited.end) for cited in text.citations] == [("https://a", 2, 4)]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}, (5, 5, 3, 0)),
        ({"promptTokenCount": 5, "toolUsePromptTokenCount": 4, "cachedContentTokenCount": 2}, (9, 0, 0, 2)),
    ],
)
def test_usage_is_the_last_that_was_told(usage: dict[str, int], expected: tuple[int, ...]) -> None:
    raw = chunk({"text": "a"}, usageMetadata={"promptTokenCount": 1}) + chunk(
        {"text": ""}, finish="STOP", usageMetadata=usage
    )
    answer = gathered(decoded(GEMINI, raw))

    assert answer.reported is not None
    found = answer.reported.usage
    assert (found.input_tokens, found.output_tokens, found.reasoning_tokens, found.cached_input_tokens) == expected


@pytest.mark.parametrize(
    ("reason", "stop"), [("STOP", "end"), ("MAX_TOKENS", "length"), ("SAFETY", "filter"), ("NEW", "end")]
)
def test_how_it_ended(reason: str, stop: str) -> None:
    assert gathered(decoded(GEMINI, chunk({"text": "a"}, finish=reason))).choices[0].stop == stop


def test_a_blocked_prompt_is_an_end() -> None:
    found = decoded(
        GEMINI, b'data: {"promptFeedback":{"blockReason":"SAFETY"},"responseId":"r","modelVersion":"m"}\r\n\r\n'
    )

    assert isinstance(found[0], Start)
    assert isinstance(found[-1], End)
    assert gathered(found).choices[0].stop == "filter"


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_error_ends_the_stream(wrapped: bool) -> None:
    error = {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}
    raw = chunk({"text": "a"}) + b"data: " + json.dumps(error).encode() + b"\r\n\r\n"
    found = decoded(GEMINI, raw)

    assert isinstance(found[-1], Failed)
    assert (found[-1].failure.status, found[-1].failure.type) == (429, "RESOURCE_EXHAUSTED")
    assert GEMINI.read_error(429, json.dumps([error] if wrapped else error).encode()).message == "m"


def test_a_cut_is_no_end() -> None:
    decoder = GEMINI.decoder(SITTING)
    decoder.feed(chunk({"text": "a"}))

    assert not decoder.finished
    with pytest.raises(ValueError, match=r"."):
        decoder.feed(b"data: words\r\n\r\n")
