"""Sums of events over any stretch of time: from months, days and hours that are summed already, and the rest from events.

A stretch is made of whole spans, the longest that fit; of the parts of an hour at its two ends; and of the events that are
not summed yet, wherever they lie. No event is in two of them, so what is asked in one read transaction is exact.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from tollkeeper.core.errors import CallerError
from tollkeeper.core.usage import Usage
from tollkeeper.core.windows import bounds

Span = Literal["hour", "day", "month"]
Stretch = tuple[int, int]
"""[from, to) in Unix milliseconds."""

TOKENS = Usage.__struct_fields__
SUMS = ("requests", "provider_requests", "attempts", *TOKENS, "cost_nano", "unpriced", "cached", "saved_nano")
EVER: Stretch = (0, 253_402_300_800_000)
"""All time, to the end of the year 9999."""
_FIRST = (
    "CASE WHEN e.attempt = 1 THEN 1 ELSE NOT EXISTS (SELECT 1 FROM events s WHERE s.request_id = e.request_id{}) END"
)
OF_EVENTS: Mapping[str, str] = {
    # Attempts of a request follow one another, so none that is summed later comes before one that has been summed.
    "requests": f"sum({_FIRST.format(' AND s.attempt < e.attempt')})",
    "provider_requests": "sum(e.outcome <> 'cached' AND "
    f"{_FIRST.format(' AND s.attempt < e.attempt AND s.provider = e.provider')})",
    "attempts": "count(*)",
    **{name: f"sum(e.{name})" for name in TOKENS},
    "cost_nano": "coalesce(sum(e.cost_nano), 0)",
    "unpriced": "sum(e.cost_nano IS NULL)",
    "cached": "sum(e.outcome = 'cached')",
    "saved_nano": "sum(e.saved_nano)",
}
"""How each sum is made of events `e`."""
_LONGER: Mapping[Span, Span] = {"hour": "day", "day": "month"}
SUMMED = "(e.request_id, e.attempt) NOT IN (SELECT request_id, attempt FROM fresh)"
"""Whether the event `e` is in the sums. What is fresh is looked up once in a query."""


def starts(span: Span, at: int) -> tuple[int, int]:
    """The span that `at` lies in: its start and its end."""
    start, end = bounds(span, "UTC", at)
    assert end is not None
    return start, end


def cover(stretch: Stretch, longest: Span = "month") -> tuple[list[tuple[Span, Stretch]], list[Stretch]]:
    """Whole spans that make up the stretch, and what they leave of it: parts of one hour each, at most two."""
    since, until = stretch
    inner = _inner("hour", stretch)
    if inner is None:
        return [], list(_within_hours(since, until))
    spans: list[tuple[Span, Stretch]] = []
    rest = [part for part in ((since, inner[0]), (inner[1], until)) if part[0] < part[1]]
    span: Span = "hour"
    while span != longest:
        shorter, span = span, _LONGER[span]
        whole = _inner(span, inner)
        if whole is None:
            span = shorter
            break
        spans += [(shorter, part) for part in ((inner[0], whole[0]), (whole[1], inner[1])) if part[0] < part[1]]
        inner = whole
    return [*spans, (span, inner)], rest


def _inner(span: Span, stretch: Stretch) -> Stretch | None:
    """The whole spans within it, None where there are none."""
    start, end = starts(span, stretch[0])
    first = stretch[0] if start == stretch[0] else end
    last = stretch[1] if stretch == EVER or stretch[1] == EVER[1] else starts(span, stretch[1])[0]
    return (first, last) if first < last else None


def _within_hours(since: int, until: int) -> Iterator[Stretch]:
    while since < until:
        end = min(until, starts("hour", since)[1])
        yield since, end
        since = end


def sums_query(
    by: Mapping[Span | None, str], sums: Sequence[str], stretch: Stretch, where: str = "1", longest: Span = "month"
) -> tuple[str, dict[str, object]]:
    """SQL that gives one row for each `by`, with its sums, over the stretch; and its values.

    `by` is an SQL expression over `g` (a group) and `s` (a sum's span) for whole spans, under None one over `e` (an event);
    so is `where`, over `x`, which is either `g` or `e`: both have key_id, owner, team, model_asked and provider.
    """
    spans, rest = cover(stretch, longest)
    if where != "1":
        tables = "sum_groups x JOIN sums s ON s.of = x.id"  # a few groups: looked up by the index
    elif any("x." in expression for expression in by.values()):
        tables = "sums s CROSS JOIN sum_groups x ON s.of = x.id"  # all of them: read in the order of the sums
    else:
        tables = "(SELECT * FROM sums WHERE of = 0) s"
    parts: list[str] = []
    values: dict[str, object] = {"since": stretch[0], "until": stretch[1]}
    for number, (span, (start, end)) in enumerate(spans):
        values |= {f"span{number}": span, f"start{number}": start, f"end{number}": end}
        columns = ", ".join(f"sum(s.{name}) AS {name}" for name in sums)
        parts.append(
            f"SELECT {by[span]} AS grouped, {columns} FROM {tables}"
            f" WHERE s.span = :span{number} AND s.start >= :start{number} AND s.start < :end{number} AND {where}"
            " GROUP BY grouped"
        )
    columns = ", ".join(f"{OF_EVENTS[name]} AS {name}" for name in sums)
    of_events = f"SELECT {by[None]} AS grouped, {columns} FROM"
    for number, (since, until) in enumerate(rest):
        values |= {f"since{number}": since, f"until{number}": until, f"hour{number}": starts("hour", since)[0]}
        parts.append(
            f"{of_events} hours h JOIN events e ON e.request_id BETWEEN h.first_id AND h.last_id"
            f" AND e.started_at >= :since{number} AND e.started_at < :until{number}"
            f" WHERE h.start = :hour{number} AND {SUMMED} AND {where.replace('x.', 'e.')} GROUP BY grouped"
        )
    parts.append(
        f"{of_events} fresh f CROSS JOIN events e ON e.request_id = f.request_id AND e.attempt = f.attempt"
        f" WHERE e.started_at >= :since AND e.started_at < :until AND {where.replace('x.', 'e.')} GROUP BY grouped"
    )
    total = ", ".join(f"sum({name}) AS {name}" for name in sums)
    return f"SELECT grouped, {total} FROM ({' UNION ALL '.join(parts)}) GROUP BY grouped", values


def refuse_parts_of_deleted_hours(reader: sqlite3.Connection, stretch: Stretch) -> None:
    """Raises CallerError where a stretch begins or ends within an hour whose events may be deleted."""
    [(kept_from,)] = reader.execute("SELECT kept_from FROM detail")
    _, rest = cover(stretch)
    if any(since < kept_from for since, _ in rest):
        raise CallerError(
            "Of what is older than [ledger] keep_detail_days, only sums of whole hours (UTC) are kept.",
            code="invalid_value",
            param="since" if stretch[0] < kept_from and stretch[0] % 3_600_000 else "until",
        )
