"""Anthropic's usage and cost reports, and the Console's CSV."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.metering.exports import anthropic
from tollkeeper.metering.exports.lines import Line

START, END = 1_754_006_400_000, 1_754_092_800_000


def page(*results: dict[str, object]) -> dict[str, object]:
    bucket = {"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z", "results": list(results)}
    return {"data": [bucket], "has_more": False, "next_page": None}


def test_input_is_the_sum_of_its_parts() -> None:
    result = {
        "uncached_input_tokens": 1500,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
        "cache_read_input_tokens": 200,
        "output_tokens": 700,
        "server_tool_use": {"web_search_requests": 10},
        "model": "claude-sonnet-4-20250514",
        "service_tier": "standard",
    }

    assert anthropic.is_page(page(result))
    assert anthropic.kind_of(page(result)) == "anthropic usage"
    assert list(anthropic.of_page(page(result))) == [
        Line(start=START, end=END),
        Line(
            start=START,
            end=END,
            model="claude-sonnet-4-20250514",
            input_tokens=3200,
            cached_input_tokens=200,
            output_tokens=700,
        ),
    ]


def test_costs_are_strings_of_cents() -> None:
    result = {"amount": "123.45", "currency": "USD", "cost_type": "tokens", "model": None}

    assert anthropic.kind_of(page(result)) == "anthropic costs"
    assert list(anthropic.of_page(page(result)))[1] == Line(start=START, end=END, cost_nano=1_234_500_000)
    with pytest.raises(CallerError, match="EUR"):
        list(anthropic.of_page(page(result | {"currency": "EUR"})))


def test_a_row_of_the_consoles_csv_is_a_day() -> None:
    row = {
        "usage_date_utc": "2026-08-05",
        "model_version": "claude-opus-5",
        "api_key": "app",
        "usage_input_tokens_no_cache": "46981",
        "usage_input_tokens_cache_write_5m": "15969",
        "usage_input_tokens_cache_write_1h": "1",
        "usage_input_tokens_cache_read": "9",
        "usage_output_tokens": "16932",
    }
    line = anthropic.of_row(row)

    assert line.end is not None
    assert line.end - line.start == 86_400_000
    assert (line.model, line.input_tokens, line.cached_input_tokens, line.output_tokens) == (
        "claude-opus-5",
        62960,
        9,
        16932,
    )
