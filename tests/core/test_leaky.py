"""A leaky bucket delays what is too fast and refuses what is far too fast."""

from tollkeeper.core.leaky import LeakyBuckets


def test_a_burst_waits_its_turn_and_what_is_beyond_is_refused_without_being_counted() -> None:
    buckets = LeakyBuckets(rate=2, burst=2)
    assert [buckets.take("a", 0.0) for _ in range(5)] == [0.0, 0.5, 1.0, None, None]
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.5) == 1.0
    assert buckets.take("a", 10.0) == 0.0


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    buckets = LeakyBuckets(rate=1, burst=0)
    assert (buckets.take("a", 5.0), buckets.take("a", 1.0)) == (0.0, None)
