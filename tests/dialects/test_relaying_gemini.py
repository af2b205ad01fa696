"""Gemini's own traffic as it passes: usage heard, output bounded, words found."""

import json
from typing import Any

import msgspec
import pytest

from kit.recordings import recorded
from tollkeeper.core.errors import CallerError, UpstreamError
from tollkeeper.core.provider import Provider
from tollkeeper.dialects.gemini_generate.relaying import DIALECT
from tollkeeper.wire.sse import EventScanner

PROVIDER = Provider(name="gemini", base_url="https://example.org", docs="")
HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def members(**found: object) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}


def bounds(**asked: object) -> Any:
    return DIALECT.bounds("models/m:generateContent", members(**asked), 100, PROVIDER)


def test_an_answer_is_heard() -> None:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}
    candidates = [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]
    body = json.dumps({"modelVersion": "m", "candidates": candidates, "usageMetadata": usage}).encode()
    heard = DIALECT.read_answer(body)

    assert heard.reported is not None
    assert (heard.reported.usage.input_tokens, heard.reported.usage.output_tokens, heard.model) == (5, 5, "m")
    assert DIALECT.answer_text(body) == "a"
    assert DIALECT.read_answer(b"[]").reported is None
    with pytest.raises(ValueError, match=r"."):
        DIALECT.read_answer(b"words")


@pytest.mark.parametrize("path", recorded("gemini/generate"))
def test_the_very_bytes_of_a_recording_pass(path: Any) -> None:
    raw = path.read_bytes()
    reader, scanner = DIALECT.reader(hide_usage=False), EventScanner()

    assert b"".join(reader.read(event) for event in scanner.feed(raw)) + scanner.take() == raw
    assert reader.finished
    assert reader.reported is not None


@pytest.mark.parametrize("name", ["generationConfig", "generation_config"])
@pytest.mark.parametrize("inner", ["maxOutputTokens", "max_output_tokens"])
def test_output_is_bounded_in_either_spelling(name: str, inner: str) -> None:
    found = bounds(contents=HI, **{name: {inner: 7, "candidateCount": 2}})

    assert (found.output_tokens, found.stated, found.choices, found.elsewhere) == (7, True, 2, False)
    assert bounds(contents=HI).output_tokens is None


def test_a_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(CallerError) as caught:
        bounds(contents=HI, generationConfig={"maxOutputTokens": "x"})
    assert caught.value.param == "generationConfig.maxOutputTokens"


@pytest.mark.parametrize(
    "asked",
    [
        {"contents": [{"parts": [{"inlineData": {}}]}]},
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}, "parts": [{}]}}]}]},
        {"contents": HI, "tools": [{"google_search": {}}]},
        {"contents": HI, "cached_content": "cachedContents/1"},
        {"contents": 7},
        {},
    ],
)
def test_bytes_bound_no_files_caches_or_searches(asked: dict[str, object]) -> None:
    assert bounds(**asked).elsewhere


def test_functions_are_bounded_by_their_bytes() -> None:
    assert not bounds(contents=HI, tools=[{"function_declarations": [{"name": "f"}]}]).elsewhere


def test_words_are_found_and_errors_told() -> None:
    error = UpstreamError("The provider broke off.", code="upstream_cut")

    assert DIALECT.prompt_texts(members(contents=HI)) == ["user\nhi"]
    assert json.loads(DIALECT.render_error(error))["error"]["message"] == "The provider broke off."
    assert DIALECT.render_error_event(error).startswith(b"data: ")
