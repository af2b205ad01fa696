"""OpenAI's exports: the organization's usage and costs as its API answers them, and the dashboard's CSV of either.

https://platform.openai.com/docs/api-reference/usage: buckets of a minute, an hour or a day, each with a result for every
group; input_tokens has cached ones in it. The CSV has the same names, one row for each result, amount_value for amounts,
and a row without a result for a bucket in which nothing was used.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tollkeeper.metering.exports.lines import Line, count, moment, nano, unreadable

USAGE_COLUMNS = frozenset(("start_time", "end_time"))
_USD = ("", "usd")


def is_page(page: Mapping[str, Any]) -> bool:
    """Whether a JSON document is one of these."""
    return any(isinstance(bucket, dict) and "start_time" in bucket for bucket in page.get("data") or ())


def kind_of(page: Mapping[str, Any]) -> str:
    """What the format is called."""
    buckets = (bucket for bucket in page["data"] if isinstance(bucket, dict))
    results = (result for bucket in buckets for result in bucket.get("results") or () if isinstance(result, dict))
    return "openai costs" if any("amount" in result for result in results) else "openai usage"


def of_page(page: Mapping[str, Any]) -> Iterator[Line]:
    """One page of buckets. Raises CallerError."""
    for bucket in page["data"]:
        start, end = moment(bucket["start_time"]), moment(bucket.get("end_time"))
        yield Line(start=start, end=end)
        for result in bucket.get("results") or ():
            amount = result.get("amount") or {}
            yield _line(start, end, result, amount.get("value"), amount.get("currency"))


def of_row(row: Mapping[str, str]) -> Line:
    """One row of the CSV. Raises CallerError."""
    start, end = moment(row["start_time"]), moment(row["end_time"])
    return _line(start, end, row, row.get("amount_value"), row.get("amount_currency"))


def _line(start: int, end: int, result: Mapping[str, Any], amount: object, currency: object) -> Line:
    if str(currency or "").lower() not in _USD:
        raise unreadable(f"amounts in {currency} cannot be compared with USD")
    return Line(
        start=start,
        end=end,
        model=result.get("model") or _of_item(result.get("line_item")),
        requests=count(result.get("num_model_requests")),
        input_tokens=count(result.get("input_tokens")),
        cached_input_tokens=count(result.get("input_cached_tokens")),
        output_tokens=count(result.get("output_tokens")),
        cost_nano=nano(amount),
    )


def _of_item(item: str | None) -> str | None:
    """ "gpt-4o-2024-08-06, cached input": the model that an item of a bill is about."""
    return item.partition(",")[0].strip() if item else None
