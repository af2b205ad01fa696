"""OpenRouter's exports: the activity page's CSV, one row a generation or one row a day, and the activity API's answer.

https://openrouter.ai/docs/guides/guides/activity-export and /docs/api/api-reference/analytics: times are UTC, completion
tokens have the reasoning ones in them, costs are USD.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tollkeeper.metering.exports.lines import Line, added, count, moment, nano

GENERATION_COLUMNS = frozenset(("created_at", "cost_total", "model_permaslug"))
DAY_COLUMNS = frozenset(("Date", "Slug", "Usage"))
_DAY = 86_400_000


def is_page(page: Mapping[str, Any]) -> bool:
    """Whether a JSON document is one of these."""
    return any(isinstance(day, dict) and "date" in day and "usage" in day for day in page.get("data") or ())


def of_page(page: Mapping[str, Any]) -> Iterator[Line]:
    """The answer of the activity API. Raises CallerError."""
    for day in page["data"]:
        start = moment(day["date"])
        yield Line(
            start=start,
            end=start + _DAY,
            model=day.get("model_permaslug") or day.get("model"),
            requests=count(day.get("requests")),
            input_tokens=count(day.get("prompt_tokens")),
            output_tokens=count(day.get("completion_tokens")),
            cost_nano=added(nano(day["usage"]), nano(day.get("byok_usage_inference"))),
        )


def of_generation(row: Mapping[str, str]) -> Line:
    """One generation. Raises CallerError."""
    return Line(
        start=moment(row["created_at"]),
        end=None,
        model=row["model_permaslug"] or None,
        requests=1,
        input_tokens=count(row.get("tokens_prompt")),
        cached_input_tokens=count(row.get("tokens_cached")),
        output_tokens=count(row.get("tokens_completion")),
        cost_nano=added(nano(row["cost_total"]), nano(row.get("byok_usage_inference"))),
    )


def of_day(row: Mapping[str, str]) -> Line:
    """One model's day. Raises CallerError."""
    start = moment(row["Date"])
    return Line(
        start=start,
        end=start + _DAY,
        model=row["Slug"] or None,
        requests=count(row.get("Requests")),
        input_tokens=count(row.get("Prompt Tokens")),
        output_tokens=count(row.get("Completion Tokens")),
        cost_nano=added(nano(row["Usage"]), nano(row.get("BYOK Usage"))),
    )
