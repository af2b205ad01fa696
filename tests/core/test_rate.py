"""The text form of rate limits: read, shown, refused with a word about what is wrong."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.rate import LONGEST, MOST, Dimension, RateLimit, parse, parse_all, shown


def limit(dimension: Dimension, amount: int, per: int = 60, burst: int | None = None) -> RateLimit:
    return RateLimit(scope="key", of="key_1", dimension=dimension, amount=amount, per=per, burst=burst)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60 requests/minute", limit("requests", 60)),
        ("1 request/second", limit("requests", 1, 1)),
        ("100000 tokens/minute", limit("tokens", 100_000)),
        ("1_000_000 input_tokens/day", limit("input_tokens", 1_000_000, 86_400)),
        ("20000 output_tokens/hour", limit("output_tokens", 20_000, 3600)),
        ("5 requests/10s", limit("requests", 5, 10)),
        ("5 requests / 10 seconds", limit("requests", 5, 10)),
        ("5 requests/2h", limit("requests", 5, 7200)),
        ("10 concurrent", limit("concurrency", 10)),
        (" 60  requests/minute  burst 20 ", limit("requests", 60, burst=20)),
    ],
)
def test_a_limit_is_read(text: str, expected: RateLimit) -> None:
    assert parse(text, "key", "key_1") == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no limit"),
        ("60", "is no limit"),
        ("requests/minute", "is no limit"),
        ("-5 requests/minute", "is no limit"),
        ("1.5 requests/minute", "is no limit"),
        ("٦٠ requests/minute", "is no limit"),
        ("60 requests/minute please", "is no limit"),
        ("60 requests", "is no limit"),
        ("0 requests/minute", "between 1 and"),
        (f"{MOST + 1} tokens/day", "between 1 and"),
        ("9" * 5000 + " tokens/day", "between 1 and"),
        ("60 calls/minute", "'calls' cannot be limited"),
        ("60 requests/month", "'month' is no span"),
        ("60 requests/0s", "between 1 second and 31 days"),
        ("60 requests/32d", "for more take a budget"),
        ("60 requests/minute burst 61", "more than the amount"),
        ("60 requests/minute burst 0", "between 1 and"),
        ("10 concurrent burst 2", "have no burst"),
    ],
)
def test_what_is_no_limit_is_refused_and_said_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        parse(text, "all", None)

    assert len(str(refused.value)) < 400


def test_two_that_limit_the_same_are_refused() -> None:
    assert [found.amount for found in parse_all(["5 requests/10s", "60 requests/minute"], "all", None)] == [5, 60]
    with pytest.raises(ValueError, match="'60 requests/minute' and '70 requests/minute burst 9' limit the same"):
        parse_all(["60 requests/minute", "70 requests/60s burst 9"], "all", None)


@st.composite
def limits(draw: st.DrawFn) -> RateLimit:
    dimension: Any = draw(st.sampled_from(get_args(Dimension)))
    amount = draw(st.integers(1, MOST))
    if dimension == "concurrency":
        return limit(dimension, amount)
    burst = draw(st.none() | st.integers(1, amount))
    return limit(dimension, amount, draw(st.sampled_from((1, 60, 90, 3600, 86_400)) | st.integers(1, LONGEST)), burst)


@given(limits())
@examples(200)
def test_what_is_shown_is_read_back(written: RateLimit) -> None:
    assert parse(shown(written), "key", "key_1") == written


def test_the_usual_spans_are_shown_by_name() -> None:
    assert shown(limit("requests", 60)) == "60 requests/minute"
    assert shown(limit("tokens", 9, 7200, 3)) == "9 tokens/2h burst 3"
    assert shown(limit("tokens", 9, 90)) == "9 tokens/90s"


def test_an_id_stays_while_the_amount_changes() -> None:
    assert limit("requests", 60).id == limit("requests", 70, burst=5).id == "key:key_1:requests:60"
    assert limit("requests", 60, 2_592_000).id == "key:key_1:requests:2592000"
    assert limit("concurrency", 3).id == "key:key_1:concurrency"
    assert RateLimit(scope="all", of=None, dimension="tokens", amount=1).id == "all:tokens:60"


@pytest.mark.parametrize(
    ("dimension", "amount", "burst", "at_once"),
    [
        ("requests", 60, None, 10),
        ("requests", 4, None, 4),
        ("requests", 1000, None, 10),
        ("requests", 60_000, None, 600),
        ("requests", 60, 20, 20),
        ("tokens", 60_000, None, 10_000),
        ("output_tokens", 5, None, 1),
        ("concurrency", 7, None, 7),
    ],
)
def test_a_burst_that_is_not_written_down_follows_from_the_amount(
    dimension: Dimension, amount: int, burst: int | None, at_once: int
) -> None:
    assert limit(dimension, amount, burst=burst).at_once == at_once
