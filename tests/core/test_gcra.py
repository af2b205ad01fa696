"""The limiter's arithmetic: whatever arrives when, no more passes than promised, and what it says of waiting is true."""

from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.gcra import Allowance, allowance, melted, standing
from tollkeeper.core.rate import RateLimit

AMOUNTS = st.integers(1, 50) | st.integers(1, 10**12)
SPANS = st.sampled_from((1, 7, 60, 3600, 86_400))


@st.composite
def allowances(draw: st.DrawFn) -> Allowance:
    amount = draw(AMOUNTS)
    burst = draw(st.none() | st.integers(1, amount))
    limit = RateLimit(scope="all", of=None, dimension="tokens", amount=amount, per=draw(SPANS), burst=burst)
    return allowance(limit)


class Bucket:
    """One counter in simulated time."""

    def __init__(self, of: Allowance) -> None:
        self.of = of
        self.owed = self.at = 0

    def owed_at(self, now: int) -> int:
        return melted(self.owed, now - self.at, self.of.amount)

    def ask(self, now: int, cost: int) -> int:
        """Takes it where it may; the microseconds to wait otherwise."""
        owed = self.owed_at(now)
        _, _, wait = standing(owed, cost, self.of)
        if not wait:
            self.owed, self.at = owed + cost * self.of.span, now
        return wait


ARRIVALS = st.lists(st.tuples(st.integers(0, 10**6) | st.integers(0, 10**9), st.integers(1, 60)), max_size=60)


@given(allowances(), ARRIVALS)
@examples(200)
def test_in_no_span_of_time_more_passes_than_the_burst_and_the_rate(
    of: Allowance, arrivals: list[tuple[int, int]]
) -> None:
    bucket, now, passed = Bucket(of), 0, []
    for after, cost in arrivals:
        now += after
        if not bucket.ask(now, cost):
            passed.append((now, cost))
    for first, (began, _) in enumerate(passed):
        taken = largest = 0
        for at, cost in passed[first:]:
            taken += cost
            largest = max(largest, cost)

            assert taken * of.span <= max(of.most, largest * of.span) + (at - began) * of.amount


@given(allowances(), ARRIVALS, st.integers(1, 10**6))
@examples(200)
def test_waiting_exactly_as_told_admits_and_a_microsecond_less_does_not(
    of: Allowance, arrivals: list[tuple[int, int]], cost: int
) -> None:
    bucket, now = Bucket(of), 0
    for after, taken in arrivals:
        now += after
        bucket.ask(now, taken)

    _, _, wait = standing(bucket.owed_at(now), cost, of)

    if wait:
        assert standing(bucket.owed_at(now + wait), cost, of)[2] == 0
        assert standing(bucket.owed_at(now + wait - 1), cost, of)[2] == 1


@given(allowances(), ARRIVALS)
@examples(200)
def test_what_is_said_to_remain_can_be_taken_and_not_one_more(of: Allowance, arrivals: list[tuple[int, int]]) -> None:
    bucket, now = Bucket(of), 0
    for after, taken in arrivals:
        now += after
        bucket.ask(now, taken)
    owed = bucket.owed_at(now)

    remaining, reset, _ = standing(owed, 0, of)

    if remaining:
        assert standing(owed, remaining, of)[2] == 0
    if owed:
        assert standing(owed, remaining + 1, of)[2] > 0
        assert bucket.owed_at(now + reset - 1) > 0
    assert bucket.owed_at(now + reset) == 0


def test_one_caller_without_pause_gets_the_burst_and_then_the_rate() -> None:
    bucket = Bucket(allowance(RateLimit(scope="all", of=None, dimension="requests", amount=7, per=1, burst=3)))

    passed = [ms for ms in range(100_000) if not bucket.ask(ms * 1000, 1)]

    assert passed[:3] == [0, 1, 2]
    assert len(passed) == 3 + 7 * 100 - 1


def test_a_cost_above_the_burst_waits_until_nothing_is_owed() -> None:
    bucket = Bucket(allowance(RateLimit(scope="all", of=None, dimension="tokens", amount=60, per=60, burst=10)))
    assert bucket.ask(0, 50) == 0
    assert bucket.ask(0, 30) == 50_000_000
    assert bucket.ask(50_000_000 - 1, 30) == 1
    assert bucket.ask(50_000_000, 30) == 0


def test_a_clock_that_goes_back_forgives_nothing_and_charges_nothing() -> None:
    assert melted(500, -100, 7) == 500
    assert melted(500, 0, 7) == 500
    assert melted(500, 10, 7) == 430


def test_what_was_settled_beyond_the_burst_is_paid_off_first_and_what_costs_nothing_is_never_refused() -> None:
    of = allowance(RateLimit(scope="all", of=None, dimension="tokens", amount=60, per=60, burst=10))
    owed = 25 * of.span

    assert standing(owed, 0, of) == (0, 25_000_000, 0)
    assert standing(owed, 1, of) == (0, 25_000_000, 16_000_000)
