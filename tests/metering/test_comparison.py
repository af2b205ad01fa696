"""Buckets, models and requests are put side by side, and a difference is a difference."""

from collections.abc import Sequence
from typing import Any

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.metering.exports.comparison import Compared, Comparison, Ours
from tollkeeper.metering.exports.lines import Line

DAY = 86_400_000
T = 20_000 * DAY


def line(model: str | None = "m", at: int = T, **figures: Any) -> Line:
    return Line(**{"start": at, "end": at + DAY, "model": model, **figures})


def ours(model: str | None = "m", at: int = T + 60_000, used: str | None = None, **figures: Any) -> Ours:
    return Ours(**{"at": at, "model": model, "model_used": used, "requests": 1, **figures})


def compared(theirs: Sequence[Line], mine: Sequence[Ours], percent: float = 0.0, bucket: int = DAY) -> list[Compared]:
    comparison = Comparison(bucket, percent)
    for one in theirs:
        comparison.theirs(one)
    assert comparison.span is not None or comparison.request_ids
    for each in mine:
        comparison.ours(each)
    return list(comparison.lines())


def told(lines: Sequence[Compared]) -> list[tuple[str | None, str, int, int, bool]]:
    return [(one.model, f.field, f.ours, f.theirs, f.within) for one in lines for f in one.figures]


def test_lines_of_one_bucket_and_model_are_one() -> None:
    theirs = [line(input_tokens=10), line(input_tokens=5), line("n", input_tokens=1)]

    assert told(compared(theirs, [ours(input_tokens=7), ours(input_tokens=8), ours("n", input_tokens=2)])) == [
        ("m", "input_tokens", 15, 15, True),
        ("n", "input_tokens", 2, 1, False),
    ]


@pytest.mark.parametrize(
    ("theirs", "model", "used"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o", "gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o-2024-08-06", "gpt-4o", None),
        ("claude-x-20250514", "claude-x", None),
        ("openai/gpt-4.1-2025-04-14", "openai/gpt-4.1", "openai/gpt-4.1"),
        (None, "anything", "at-all"),
    ],
)
def test_a_model_is_found_by_each_of_its_names(theirs: str | None, model: str, used: str | None) -> None:
    [one] = compared([line(theirs, output_tokens=3)], [ours(model, used=used, output_tokens=3)])

    assert (one.model, one.missing, one.within) == (theirs, None, True)


def test_gpt_4o_is_not_gpt_4o_mini() -> None:
    lines = compared([line("gpt-4o-mini", output_tokens=3)], [ours("gpt-4o", output_tokens=3)])

    assert {(one.model, one.missing) for one in lines} == {("gpt-4o-mini", "ours"), ("gpt-4o", "theirs")}
    assert not any(one.within for one in lines)


def test_a_covered_bucket_without_usage_shows_what_the_export_lacks() -> None:
    lines = compared([Line(start=T, end=T + DAY), line("x", T + DAY, input_tokens=0)], [ours(input_tokens=4)])
    assert [(each.model, each.missing) for each in lines] == [("m", "theirs"), ("x", "ours")]


def test_what_lies_outside_the_export_is_not_compared() -> None:
    assert told(compared([line(input_tokens=1)], [ours(input_tokens=1), ours(at=T - 60_000), ours(at=T + DAY)])) == [
        ("m", "input_tokens", 1, 1, True)
    ]


def test_single_requests_are_put_into_buckets() -> None:
    theirs = [line(at=T + at, end=None, requests=1, cost_nano=5) for at in (1, 59_999, 60_000)]

    lines = compared(theirs, [ours(at=T, requests=2, cost_nano=10), ours(at=T + 60_000, cost_nano=5)], bucket=60_000)

    assert [(one.start, one.within) for one in lines] == [(T, True), (T + 60_000, True)]


def test_requests_are_compared_by_their_ids() -> None:
    theirs = [line(request_id="r1", cost_nano=5), line(request_id="r2", cost_nano=6)]

    lines = compared(theirs, [ours(request_id="r1", cost_nano=5)])

    assert [(one.request_id, one.missing, one.within) for one in lines] == [("r1", None, True), ("r2", "ours", False)]


def test_requests_between_those_of_the_export_are_looked_for_in_it() -> None:
    comparison = Comparison(DAY, 0.0)
    for name in ("r1", "r3"):
        comparison.theirs(line(request_id=name, cost_nano=5))
    assert comparison.stretch is None
    both = [ours(at=T + 3, request_id="r3", cost_nano=5), ours(at=T + 1, request_id="r1", cost_nano=5)]
    for each in both:
        comparison.ours(each)
    assert comparison.stretch == (T + 1, T + 3)
    for each in (*both, ours(at=T + 2, request_id="r2", cost_nano=7), ours(at=T + 2, request_id="failed", cost_nano=0)):
        comparison.ours(each)

    assert [(one.request_id, one.missing, one.within) for one in comparison.lines()] == [
        ("r1", None, True),
        ("r3", None, True),
        ("r2", "theirs", False),
    ]


@pytest.mark.parametrize(("percent", "within"), [(0.0, False), (0.9, False), (1.0, True)])
def test_the_tolerance_is_a_part_of_the_greater_figure(percent: float, within: bool) -> None:
    [one] = compared([line(input_tokens=99)], [ours(input_tokens=100)], percent)

    assert one.within is within


@pytest.mark.parametrize(("theirs", "within"), [(1000, True), (1003, True), (1004, False)])
def test_a_cost_may_differ_by_a_nano_dollar_a_request(theirs: int, within: bool) -> None:
    assert compared([line(cost_nano=theirs)], [ours(requests=3, cost_nano=1000)])[0].within is within


def test_totals_add_both_sides_up() -> None:
    comparison = Comparison(DAY, 0.0)
    for one in (line(input_tokens=1, cost_nano=5), line("n", input_tokens=2)):
        comparison.theirs(one)
    assert comparison.span == (T, T + DAY)
    comparison.ours(ours(input_tokens=4))

    totals = comparison.total(comparison.lines())

    assert [(f.field, f.ours, f.theirs, f.difference) for f in totals] == [
        ("input_tokens", 4, 3, 1),
        ("cost_nano", 0, 5, -5),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        [Line(start=T, end=T)],
        [Line(start=T + 1, end=T + DAY)],
        [Line(start=T, end=T + DAY), Line(start=T + 60_000, end=T + DAY + 60_000)],
    ],
)
def test_buckets_that_cannot_be_are_refused(lines: list[Line]) -> None:
    comparison = Comparison(DAY, 0.0)

    with pytest.raises(CallerError, match="bucket"):
        [comparison.theirs(one) for one in lines] and comparison.span
