"""When calls may start: rates of the user, rates that answers tell of, and waits that a provider asks for."""

from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.bulk.pacing import Pace
from tollkeeper.wire.rate_headers import Allowance

SILENT = Allowance()


def pace(rpm: float | None = None, tpm: float | None = None) -> Pace:
    return Pace(rpm=rpm, tpm=tpm, now=0.0, uniform=lambda low, high: high)


def starts(paced: Pace, seconds: float, tokens: float = 10.0) -> list[float]:
    """When calls start that come one after the other as soon as they may."""
    found, now = [], 0.0
    while True:
        now += paced.delay(tokens, now)
        if now > seconds:
            return found
        paced.start(tokens, now)
        found.append(now)
        if len(found) > 100_000:
            return found


def test_without_rates_nothing_waits() -> None:
    assert pace().delay(1e6, 0.0) == 0.0


def test_the_rate_of_requests_is_kept_from_the_first_second() -> None:
    assert len(starts(pace(rpm=600), 60.0)) in range(600, 612)


def test_the_rate_of_tokens_is_kept() -> None:
    assert len(starts(pace(tpm=60_000), 60.0, tokens=100.0)) in range(600, 702)


def test_a_call_larger_than_all_the_tokens_of_a_minute_still_starts() -> None:
    paced = pace(tpm=1000)
    assert paced.delay(50_000, 0.0) == 0.0
    paced.start(50_000, 0.0)
    assert paced.delay(1, 1.0) > 2000


def test_what_an_answer_says_of_its_limit_is_learned() -> None:
    paced = pace()
    paced.start(10, 0.0)
    paced.heard(Allowance(600, 5, 59.5), SILENT, 0, 0.0, 0.1)
    allowed = [now for now in starts(paced, 30.1) if now >= 0.1]
    assert 290 <= len(allowed) - 5 <= 300  # what remained, then ten a second less the margin


def test_calls_under_way_are_counted_against_what_remained() -> None:
    paced = pace()
    for _ in range(10):
        paced.start(10, 0.0)
    paced.heard(Allowance(600, 5, None), SILENT, 0, 0.0, 0.1)  # 9 started after the one that was told of 5
    assert paced.delay(10, 0.1) > 0.4


def test_a_wish_to_wait_is_kept_and_bounded() -> None:
    paced = pace()
    paced.wait(2.0, 10.0)
    assert 2.0 <= paced.delay(1, 10.0) <= 2.5
    paced.wait(1e9, 10.0)
    assert paced.delay(1, 10.0) <= 310


def test_true_usage_corrects_the_estimate() -> None:
    paced = pace(tpm=6000)
    paced.start(1000, 0.0)
    assert paced.delay(100, 0.0) > 0
    paced.settle(1000, 10, 0.0)
    assert paced.delay(100, 0.0) == 0.0


@given(
    st.lists(
        st.tuples(st.floats(0, 1e12), st.floats(0, 1e12), st.floats(0, 3600), st.floats(0, 10)), min_size=1, max_size=30
    )
)
def test_whatever_answers_say_a_wait_is_finite(said: list[tuple[float, float, float, float]]) -> None:
    paced, now = pace(), 0.0
    for limit, remaining, reset, pause in said:
        now += pause
        paced.start(5, now)
        paced.heard(Allowance(limit, remaining, reset), Allowance(limit, remaining, reset), 0, 0.0, now)
        assert 0 <= paced.delay(5, now) < float("inf")
