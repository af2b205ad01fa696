"""What callers are told of their limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.gcra import UNKNOWN
from tollkeeper.core.rate import parse, parse_all
from tollkeeper.policies.limits.effective import Effective
from tollkeeper.policies.limits.refusals import decisive, duration, headers, never, refusal, without_theirs

LIMITS = Effective(
    (
        parse("60 requests/minute", "key", "key_1"),
        parse("1000 requests/day", "all", None),
        parse("3000 tokens/minute", "team", "research"),
        parse("900 output_tokens/minute", "model", "gpt-4o"),
        parse("2 concurrent", "owner", "ada"),
    )
)


@pytest.mark.parametrize(
    ("microseconds", "shown"),
    [
        (0, b"0s"),
        (1, b"1ms"),
        (20_000, b"20ms"),
        (999_000, b"999ms"),
        (999_001, b"1s"),
        (1_000_000, b"1s"),
        (8_640_000, b"8.64s"),
        (8_640_001, b"8.641s"),
        (60_000_000, b"1m0s"),
        (360_000_000, b"6m0s"),
        (100_500_000, b"1m40.5s"),
        (3_600_000_000, b"1h0m0s"),
        (90_061_001_000, b"25h1m1.001s"),
    ],
)
def test_durations_are_written_as_openai_does(microseconds: int, shown: bytes) -> None:
    assert duration(microseconds) == shown


@given(st.integers(0, 10**13))
@examples(300)
def test_a_duration_read_back_is_the_same_rounded_up_to_a_millisecond(microseconds: int) -> None:
    text = duration(microseconds).decode()
    ms = 0.0
    for unit, worth in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if unit in text and not text.endswith("ms"):
            number, _, text = text.partition(unit)
            ms += float(number) * worth
    ms += float(text.removesuffix("ms") or 0)

    assert round(ms) == -(-microseconds // 1000)


def test_headers_are_those_of_the_tightest_limit_of_each_kind() -> None:
    told = dict(headers(LIMITS, [(9, 1_000_000, 0), (9, 7_000_000, 0), (500, 0, 0), (20, 350_000, 0), (1, 0, 0)]))

    assert told == {
        b"x-ratelimit-limit-requests": b"1000",
        b"x-ratelimit-remaining-requests": b"9",
        b"x-ratelimit-reset-requests": b"7s",
        b"x-ratelimit-limit-tokens": b"900",
        b"x-ratelimit-remaining-tokens": b"20",
        b"x-ratelimit-reset-tokens": b"350ms",
    }


def test_headers_speak_only_of_what_is_limited() -> None:
    assert headers(Effective(parse_all(["2 concurrent"], "all", None)), [(1, 0, 0)]) == []


def test_what_the_provider_says_of_its_own_limits_is_left_out() -> None:
    answered = [(b"x-ratelimit-limit-requests", b"5"), (b"x-ratelimit-reset-images", b"1s"), (b"retry-after", b"7")]

    assert without_theirs(answered) == [(b"retry-after", b"7")]


def test_a_refusal_names_the_limit_that_lasts_longest_and_when_to_return() -> None:
    standings = [(0, 0, 1_000_001), (9, 0, 0), (5, 0, 2_000_000), (0, 0, 0), (0, 0, UNKNOWN)]

    error = refusal(LIMITS, [1, 1, 40, 20, 1], standings, [])

    assert (error.status, error.type, error.code) == (429, "tokens", "rate_limit_exceeded")
    assert error.headers == ((b"retry-after", b"2"), (b"retry-after-ms", b"2000"))
    assert error.message == (
        "Rate limit reached for the team 'research': 3000 tokens/minute, asked for 40, 5 left. Try again in 2s."
    )


def test_seconds_and_milliseconds_are_rounded_up() -> None:
    error = refusal(LIMITS, [1] * 5, [(0, 0, 1_000_001), *[(9, 0, 0)] * 4], [])

    assert error.headers == ((b"retry-after", b"2"), (b"retry-after-ms", b"1001"))
    assert (error.type, "this key: 60 requests/minute" in error.message) == ("requests", True)


def test_where_a_call_must_end_first_it_is_told_to_return_in_a_second() -> None:
    error = refusal(LIMITS, [1] * 5, [*[(9, 0, 0)] * 4, (0, 0, UNKNOWN)], [])

    assert error.headers == ((b"retry-after", b"1"), (b"retry-after-ms", b"1000"))
    assert error.message == "2 calls of the owner 'ada' are under way, as many as may be. Try again in 1s."


def test_a_call_larger_than_its_limit_is_refused_for_good() -> None:
    error = never(LIMITS.allowances[3], 1000, [(b"x-ratelimit-limit-tokens", b"900")])

    assert (error.status, error.type, error.code, error.retryable) == (429, "tokens", "rate_limit_too_small", False)
    assert error.headers == ((b"x-ratelimit-limit-tokens", b"900"), (b"x-should-retry", b"false"))
    assert "1000 output tokens" in error.message
    assert "the model 'gpt-4o' allows at any time: 900 output_tokens/minute" in error.message


def test_the_decisive_limit_has_a_known_end_where_any_has() -> None:
    assert decisive([(0, 0, 0), (0, 0, UNKNOWN), (0, 0, 5)]) == 2
    assert decisive([(0, 0, 0), (0, 0, UNKNOWN), (0, 0, 0)]) == 1
    assert decisive([(0, 0, 7), (0, 0, 5)]) == 0
