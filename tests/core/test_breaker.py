"""A circuit opens after failures in a row, longer each time, and successes in a row close it."""

from tollkeeper.core.breaker import Breaker


def test_it_opens_twice_as_long_each_time_up_to_the_longest() -> None:
    breaker = Breaker(failures=2, successes=1, longest=5)
    breaker.failed("a", 0.0)
    assert breaker.opened("a", 0.0) is None
    lengths = []
    for at in (0.0, 10.0, 20.0):
        breaker.failed("a", at)
        lengths.append(breaker.opened("a", at))
        breaker.failed("a", at + 6)
    assert lengths == [2, 4, 5]
    assert breaker.opened("b", 0.0) is None


def test_a_success_between_failures_begins_the_count_anew() -> None:
    breaker = Breaker(failures=2, successes=1, longest=300)
    breaker.failed("a", 0.0)
    breaker.succeeded("a")
    breaker.failed("a", 0.0)
    assert breaker.opened("a", 0.0) is None


def test_after_its_time_requests_pass_and_enough_successes_close_it() -> None:
    breaker = Breaker(failures=1, successes=2, longest=300)
    breaker.failed("a", 0.0)
    assert breaker.opened("a", 1.5) == 0.5
    assert breaker.opened("a", 2.0) is None
    breaker.succeeded("a")
    breaker.failed("a", 2.0)
    assert breaker.opened("a", 2.0) == 4
    breaker.succeeded("a")
    breaker.succeeded("a")
    breaker.failed("a", 9.0)
    assert breaker.opened("a", 9.0) == 2
