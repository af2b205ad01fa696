"""OpenAI's usage and costs, as its API and its dashboard give them."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.metering.exports import openai
from tollkeeper.metering.exports.lines import Line

DAY = 86_400_000
START = 1_730_419_200_000


def page(*results: dict[str, object]) -> dict[str, object]:
    bucket = {"object": "bucket", "start_time": 1730419200, "end_time": 1730505600, "results": list(results)}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


def test_a_usage_result() -> None:
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "output_tokens": 500,
        "input_cached_tokens": 800,
        "num_model_requests": 5,
        "project_id": None,
        "model": "gpt-4o-mini-2024-07-18",
        "batch": None,
    }

    assert openai.is_page(page(result))
    assert openai.kind_of(page(result)) == "openai usage"
    assert list(openai.of_page(page(result))) == [
        Line(start=START, end=START + DAY),
        Line(
            start=START,
            end=START + DAY,
            model="gpt-4o-mini-2024-07-18",
            requests=5,
            input_tokens=1000,
            cached_input_tokens=800,
            output_tokens=500,
        ),
    ]


@pytest.mark.parametrize(
    ("item", "model"), [(None, None), ("gpt-4o-2024-08-06, cached input", "gpt-4o-2024-08-06"), ("gpt-4o", "gpt-4o")]
)
def test_a_costs_result(item: str | None, model: str | None) -> None:
    result = {"object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"}, "line_item": item}

    assert openai.kind_of(page(result)) == "openai costs"
    assert list(openai.of_page(page(result)))[1] == Line(
        start=START, end=START + DAY, model=model, cost_nano=60_000_000
    )


def test_a_row_of_the_dashboards_csv() -> None:
    row = {
        "start_time": "1759622400",
        "end_time": "1759708800",
        "start_time_iso": "2025-10-05T00:00:00+00:00",
        "num_model_requests": "10.0",
        "model": "gpt-4o-2024-08-06",
        "batch": "FALSE",
        "input_tokens": "59200.0",
        "output_tokens": "10646.0",
        "input_cached_tokens": "5760.0",
    }
    line = openai.of_row(row)

    assert (line.start, line.model, line.requests) == (1_759_622_400_000, "gpt-4o-2024-08-06", 10)
    assert (line.input_tokens, line.cached_input_tokens, line.output_tokens) == (59200, 5760, 10646)
    assert openai.of_row({"start_time": "1759622400", "end_time": "1759708800", "model": ""}).says_nothing
    cost = {"start_time": "1759622400", "end_time": "1759708800", "amount_value": "0.8958740000000000"}
    assert openai.of_row(cost | {"amount_currency": "usd", "line_item": ""}).cost_nano == 895_874_000


def test_another_currency_is_refused() -> None:
    with pytest.raises(CallerError, match="eur"):
        list(openai.of_page(page({"amount": {"value": 1, "currency": "eur"}})))


def test_other_documents_are_not_taken_for_one() -> None:
    assert not openai.is_page({"data": [{"starting_at": "2025-01-01"}]})
    assert not openai.is_page({"data": []})
    assert not openai.is_page({"data": ["x"]})
