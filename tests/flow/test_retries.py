"""Retries under a budget: what is earned, what is owed, how long is waited."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.flow.retries import RetryBudget, RetryOptions, after_rest, backoff

OPTIONS = RetryOptions()


@given(
    calls=st.integers(50, 3000),
    rate=st.floats(20, 2000),
    share=st.sampled_from([0.05, 0.2, 0.5]),
)
def test_where_everything_fails_retries_stay_within_their_share(calls: int, rate: float, share: float) -> None:
    budget = RetryBudget()
    made = 0
    for number in range(calls):
        now = number / rate
        budget.earn(share)
        for _ in range(2):
            made += budget.take(now, 3)

    seconds = calls / rate
    assert made <= max(share * calls, 3 * (seconds + 1)) + 3


def test_a_few_a_second_are_allowed_in_any_case() -> None:
    budget = RetryBudget()

    made = [sum(budget.take(second + tick / 10, 3) for tick in range(10)) for second in range(20)]

    assert made == [3] * 20


def test_what_was_owed_is_paid_back_first() -> None:
    budget = RetryBudget()
    for _ in range(10):
        budget.owe()
    for _ in range(40):
        budget.earn(0.25)

    assert not budget.take(0.0, 0)
    for _ in range(4):
        budget.earn(0.25)
    assert budget.take(0.0, 0)


def test_no_more_is_saved_up_than_a_moments_worth() -> None:
    budget = RetryBudget()
    for _ in range(100_000):
        budget.earn(0.2)

    assert sum(budget.take(0.0, 0) for _ in range(1000)) == 20


@given(number=st.integers(0, 10_000), seed=st.integers(0, 1000))
def test_waits_are_anywhere_between_nothing_and_their_growing_bound(number: int, seed: int) -> None:
    assert 0 <= backoff(OPTIONS, number, random.Random(seed).random) <= min(8.0, 0.5 * 2 ** min(number, 40))


def test_waits_are_spread() -> None:
    draw = random.Random(5).random
    waits = [backoff(OPTIONS, 2, draw) for _ in range(2000)]

    assert (min(waits) < 0.02, max(waits) > 1.98, 0.95 < sum(waits) / 2000 < 1.05) == (True, True, True)


@given(seconds=st.floats(0, 300), seed=st.integers(0, 1000))
def test_what_a_provider_asked_for_is_kept_and_a_little_more(seconds: float, seed: int) -> None:
    wait = after_rest(seconds, random.Random(seed).random)

    assert seconds <= wait <= seconds + min(0.25 * seconds, 10)
