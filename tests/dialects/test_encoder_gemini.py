"""What Google's clients get: data lines and nothing else, whole calls, one array where no events were asked for."""

import json
from typing import Any

from kit.translations import GEMINI, encoded
from tollkeeper.core.conversation import Citation, Seal, TokenLogprob
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    End,
    Failed,
    Failure,
    Finish,
    Ping,
    ReasoningStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Identity
from tollkeeper.core.usage import Reported, Usage

START = Start("id-1", "model-2")


def chunks(*deltas: Delta) -> list[Any]:
    raw = encoded(GEMINI, [START, *deltas])
    return [json.loads(line[6:]) for line in raw.split(b"\r\n\r\n") if line]


def parts(*deltas: Delta) -> list[Any]:
    return [part for chunk in chunks(*deltas) for part in chunk["candidates"][0]["content"]["parts"]]


def test_a_stream_is_byte_for_byte_as_gemini_would_have_it() -> None:
    raw = encoded(
        GEMINI, [START, Ping(), TextStart(0), TextDelta(0, "a\u2028b\u0085é"), BlockEnd(0), Finish("end"), End()]
    )

    assert raw.decode() == (
        'data: {"candidates":[{"content":{"parts":[{"text":"a\\u2028b\\u0085é"}],"role":"model"},"index":0}],'
        '"modelVersion":"model-2","responseId":"id-1"}\r\n\r\n'
        'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],'
        '"modelVersion":"model-2","responseId":"id-1"}\r\n\r\n'
    )


def test_calls_are_whole_and_in_their_order() -> None:
    found = parts(
        ToolStart(0, "a", "f"), ToolStart(1, "b", "g", seal=Seal("s", "claude")), TextDelta(1, '{"y":2}'), BlockEnd(1),
        TextDelta(0, '{"x"'), TextDelta(0, ":1}"), BlockEnd(0),
    )  # fmt: skip

    assert found == [
        {"functionCall": {"name": "f", "args": {"x": 1}, "id": "a"}},
        {"functionCall": {"name": "g", "args": {"y": 2}, "id": "b"}, "thoughtSignature": "dGsxLmNsYXVkZS5z"},
    ]


def test_thoughts_and_their_seals() -> None:
    found = parts(ReasoningStart(0), TextDelta(0, "hm"), Sealed(0, Seal("s", "claude")), BlockEnd(0))

    assert found == [
        {"text": "hm", "thought": True},
        {"text": "", "thoughtSignature": "dGsxLmNsYXVkZS5z", "thought": True},
    ]


def test_sources_are_placed_in_bytes() -> None:
    found = chunks(TextStart(0), TextDelta(0, "é"), Cited(0, Citation("https://a", "t")), BlockEnd(0))[-1][
        "candidates"
    ][0]

    assert found["groundingMetadata"]["groundingSupports"][0]["segment"] == {"startIndex": 0, "endIndex": 2}


def test_log_probabilities_usage_and_an_error() -> None:
    usage = UsageNoted(Reported(Usage(input_tokens=5, output_tokens=3, reasoning_tokens=2), b"{}"))
    found = chunks(
        TextStart(0), TextDelta(0, "a", (TokenLogprob("a", -0.5),)), BlockEnd(0), usage, Finish("length"), End()
    )

    assert found[0]["candidates"][0]["logprobsResult"]["chosenCandidates"] == [{"token": "a", "logProbability": -0.5}]
    assert found[-1]["usageMetadata"] == {
        "promptTokenCount": 5, "candidatesTokenCount": 1, "totalTokenCount": 8, "thoughtsTokenCount": 2
    }  # fmt: skip
    assert chunks(Failed(Failure("m", 429)), End()) == [
        {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}
    ]


def test_who_did_not_ask_for_events_gets_an_array() -> None:
    identity = Identity(id="r", created=1, model="m", framing="array")
    stream = [START, TextStart(0), TextDelta(0, "a"), TextDelta(0, "b"), BlockEnd(0)]
    found = json.loads(encoded(GEMINI, [*stream, Finish("end"), End()], identity))
    broken = json.loads(encoded(GEMINI, [*stream, Failed(Failure("m", 500))], identity))

    assert [one["candidates"][0]["content"]["parts"][0]["text"] for one in found] == ["a", "b", ""]
    assert broken[-1]["error"]["code"] == 500
