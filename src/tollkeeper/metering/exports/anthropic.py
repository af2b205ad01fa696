"""Anthropic's exports: the Messages usage report, the cost report, and the Console's CSV of usage.

https://platform.claude.com/docs/en/api/admin-api/usage-cost: input is told in parts that do not overlap (uncached, read
from a cache, written to one), costs are decimal strings of cents. There are no counts of requests.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tollkeeper.metering.exports.lines import Line, added, count, moment, nano, unreadable

CSV_COLUMNS = frozenset(("usage_date_utc", "usage_output_tokens"))
_DAY = 86_400_000


def is_page(page: Mapping[str, Any]) -> bool:
    """Whether a JSON document is one of these."""
    return any(isinstance(bucket, dict) and "starting_at" in bucket for bucket in page.get("data") or ())


def kind_of(page: Mapping[str, Any]) -> str:
    """What the format is called."""
    buckets = (bucket for bucket in page["data"] if isinstance(bucket, dict))
    results = (result for bucket in buckets for result in bucket.get("results") or () if isinstance(result, dict))
    return "anthropic costs" if any("amount" in result for result in results) else "anthropic usage"


def of_page(page: Mapping[str, Any]) -> Iterator[Line]:
    """One page of buckets. Raises CallerError."""
    for bucket in page["data"]:
        start, end = moment(bucket["starting_at"]), moment(bucket.get("ending_at"))
        yield Line(start=start, end=end)
        for result in bucket.get("results") or ():
            if "amount" in result:
                if str(result.get("currency") or "USD").upper() != "USD":
                    raise unreadable(f"amounts in {result['currency']} cannot be compared with USD")
                yield Line(
                    start=start, end=end, model=result.get("model"), cost_nano=nano(result["amount"], cents=True)
                )
                continue
            written = result.get("cache_creation") or {}
            cached = count(result.get("cache_read_input_tokens"))
            yield Line(
                start=start,
                end=end,
                model=result.get("model"),
                input_tokens=added(
                    count(result.get("uncached_input_tokens")), cached, *(count(number) for number in written.values())
                ),
                cached_input_tokens=cached,
                output_tokens=count(result.get("output_tokens")),
            )


def of_row(row: Mapping[str, str]) -> Line:
    """One row of the Console's CSV: a day, a model, a key. Raises CallerError."""
    start = moment(row["usage_date_utc"])
    cached = count(row.get("usage_input_tokens_cache_read"))
    written = (count(row.get(f"usage_input_tokens_cache_write_{age}")) for age in ("5m", "1h"))
    return Line(
        start=start,
        end=start + _DAY,
        model=row.get("model_version") or None,
        input_tokens=added(count(row.get("usage_input_tokens_no_cache")), cached, *written),
        cached_input_tokens=cached,
        output_tokens=count(row["usage_output_tokens"]),
    )
