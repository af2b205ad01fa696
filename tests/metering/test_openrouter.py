"""OpenRouter's activity: by generation, by day, and from its API."""

from tollkeeper.metering.exports import openrouter
from tollkeeper.metering.exports.lines import Line


def test_a_generation() -> None:
    row = {
        "generation_id": "gen-1782618417-x",
        "created_at": "2026-06-28 03:46:57.713",
        "cost_total": "0.0123",
        "byok_usage_inference": "",
        "tokens_prompt": "10389",
        "tokens_completion": "137",
        "tokens_reasoning": "100",
        "tokens_cached": "5",
        "model_permaslug": "openai/gpt-oss-120b",
    }

    assert openrouter.of_generation(row) == Line(
        start=1_782_618_417_713,
        end=None,
        model="openai/gpt-oss-120b",
        requests=1,
        input_tokens=10389,
        cached_input_tokens=5,
        output_tokens=137,
        cost_nano=12_300_000,
    )


def test_a_day_of_the_csv() -> None:
    row = {
        "Date": "2026-05-12 00:00:00",
        "Slug": "anthropic/claude-opus-4.7",
        "Usage": "430.07",
        "BYOK Usage": "0",
        "Requests": "4115",
        "Prompt Tokens": "70965665",
        "Completion Tokens": "3009973",
        "Reasoning Tokens": "0",
    }
    line = openrouter.of_day(row)

    assert (line.model, line.requests, line.cost_nano) == ("anthropic/claude-opus-4.7", 4115, 430_070_000_000)
    assert line.end == line.start + 86_400_000


def test_a_day_of_the_api() -> None:
    day = {
        "date": "2025-08-24",
        "model": "openai/gpt-4.1",
        "model_permaslug": "openai/gpt-4.1-2025-04-14",
        "usage": 0.015,
        "byok_usage_inference": 0.012,
        "requests": 5,
        "prompt_tokens": 50,
        "completion_tokens": 125,
        "reasoning_tokens": 25,
    }
    [line] = openrouter.of_page({"data": [day]})

    assert openrouter.is_page({"data": [day]})
    assert (line.model, line.cost_nano, line.output_tokens) == ("openai/gpt-4.1-2025-04-14", 27_000_000, 125)
