"""Counters by windows of time."""

from tollkeeper.core.counters import Windows


def test_a_fixed_window_begins_with_its_first_request_and_ends_whole() -> None:
    windows = Windows()
    assert [windows.take("a", 2, 10, at) for at in (0.0, 4.0, 9.0)] == [(True, 1, 10), (True, 0, 6), (False, 0, 1)]
    assert windows.take("a", 2, 10, 10.0) == (True, 1, 10)
    assert windows.take("b", 2, 10, 9.0) == (True, 1, 10)


def test_a_sliding_window_still_counts_what_it_covers_of_the_one_before() -> None:
    windows = Windows(sliding=True)
    assert all(windows.take("a", 10, 10, 9.0)[0] for _ in range(10))
    # Half of the window before is still covered, so five are still counted.
    assert [windows.take("a", 10, 10, 15.0)[0] for _ in range(6)] == [True] * 5 + [False]
    assert windows.take("a", 10, 10, 40.0) == (True, 9, 10)


def test_a_cost_is_counted_afterwards_even_beyond_the_limit() -> None:
    windows = Windows()
    windows.add("a", 10, 0.0, 25)
    assert windows.look("a", 20, 10, 1.0) == (0, 9)
    assert windows.look("a", 20, 10, 10.0) == (20, 10)


def test_the_key_used_longest_ago_is_forgotten_first() -> None:
    windows = Windows(most=2)
    for key in ("a", "b", "a", "c"):
        windows.take(key, 5, 10, 0.0)
    assert windows.take("a", 5, 10, 0.0)[1] == 2
    assert windows.take("b", 5, 10, 0.0)[1] == 4
