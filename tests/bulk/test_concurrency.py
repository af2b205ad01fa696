"""The window of calls under way: what makes it grow, what cuts it, and what does neither."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.bulk.concurrency import Concurrency


def grown(most: int = 200, successes: int = 200) -> Concurrency:
    window = Concurrency(most)
    for _ in range(successes):
        window.succeeded(0.0, window.window)
    return window


def test_the_window_grows_by_one_a_success_until_the_first_cut() -> None:
    window = Concurrency(100, start=10)
    for _ in range(5):
        window.succeeded(0.0, window.window)
    assert window.window == 15


def test_the_window_never_passes_the_users_bound() -> None:
    assert grown(most=50).window == 50
    assert Concurrency(4).window == 4


def test_a_window_that_is_not_used_does_not_grow() -> None:
    window = Concurrency(100, start=20)
    for _ in range(100):
        window.succeeded(0.0, under_way=5)
    assert window.window == 20


@pytest.mark.row(32)
def test_a_burst_of_refusals_cuts_once() -> None:
    window = grown(most=100)
    cuts = [window.throttled(sent_at=9.0, now=10.0) for _ in range(100)]
    assert sum(cuts) == 1
    assert window.window == 70


@pytest.mark.row(31)
def test_refusals_that_go_on_walk_the_window_down_to_one() -> None:
    window = grown(most=100)
    now = 10.0
    for _ in range(120):  # a refusal every two seconds, whatever wait each asks for
        window.throttled(sent_at=now - 0.1, now=now)
        now += 2.0
    assert window.window == 1


def test_the_second_cut_in_a_row_is_deeper() -> None:
    window = grown(most=100)
    window.throttled(9.0, 10.0)
    window.throttled(16.0, 16.1)
    assert window.window == 35


def test_after_a_cut_growth_is_slow_and_goes_on() -> None:
    window = grown(most=100)
    window.throttled(9.0, 10.0)
    now = 20.0
    for _ in range(70):
        window.succeeded(now, window.window)
    assert 72 <= window.window <= 74
    for _ in range(2000):
        window.succeeded(now, window.window)
    assert window.window == 100


def _windows(outcome: Callable[[int], str], seconds: int) -> list[int]:
    """The window after each round of calls, a second apart; `outcome` is of the n-th of those that are out at once."""
    window, now, seen = Concurrency(100), 0.0, []
    for _ in range(seconds):
        sent, now, out = now, now + 1.0, window.window
        for number in range(out):
            found = outcome(number)
            if found == "refused":
                window.throttled(sent, now)
            elif found == "failed":
                window.failed(sent)
            elif found == "well":
                window.succeeded(sent, out)
        seen.append(window.window)
    return seen


def test_refusals_and_failures_that_do_not_hang_on_the_window_do_not_hold_it_down() -> None:
    draw = random.Random(1)
    weights = {"refused": 30, "failed": 16, "well": 29, "well at another try": 25}
    outcomes = draw.choices([*weights], [*weights.values()], k=100_000)
    found = _windows(lambda number: outcomes.pop(), seconds=150)
    assert sum(found[-60:]) / 60 > 80


def test_refusals_that_were_there_from_the_first_call_on_do_not_hold_up_the_slow_start() -> None:
    found = _windows(lambda number: "refused" if number % 10 in (1, 4, 7) else "well", seconds=6)
    assert found[0] > 16
    assert found[-1] == 100


def test_a_window_that_is_too_large_from_the_first_call_on_is_cut() -> None:
    found = _windows(lambda number: "refused" if number >= 5 else "well", seconds=60)
    assert max(found[-20:]) <= 14


def test_refusals_from_the_first_call_on_that_grow_with_the_window_end_the_slow_start() -> None:
    found = _windows(lambda number: "refused" if number >= 14 else "well", seconds=60)
    assert max(found) < 64
    assert max(found[-20:]) <= 32


def test_a_providers_limit_of_calls_at_once_is_kept_near() -> None:
    found = _windows(lambda number: "refused" if number >= 40 else "well", seconds=600)
    assert 40 <= sum(found[-300:]) / 300 <= 75


@pytest.mark.row(33)
def test_a_few_failures_that_remain_do_not_hold_the_window_down() -> None:
    window = grown(most=100)
    window.throttled(9.0, 10.0)
    for number in range(3000):
        if number % 20 == 0:
            window.failed(20.0)
        else:
            window.succeeded(20.0, window.window)
    assert window.window == 100


def test_many_failures_shrink_the_window() -> None:
    window = grown(most=100)
    for number in range(100):
        if number % 3 == 0:
            window.failed(20.0)
        else:
            window.succeeded(20.0, 1)
    assert window.window < 100


@given(st.lists(st.tuples(st.sampled_from("stf"), st.floats(0, 20), st.floats(0, 5)), max_size=300), st.integers(1, 64))
def test_the_window_stays_between_one_and_the_bound(history: list[tuple[str, float, float]], most: int) -> None:
    window, now = Concurrency(most), 0.0
    for kind, age, pause in history:
        now += pause
        if kind == "s":
            window.succeeded(now - age, most)
        elif kind == "t":
            window.throttled(now - age, now)
        else:
            window.failed(now - age)
        assert 1 <= window.window <= most
