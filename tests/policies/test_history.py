"""What calls have cost lately: the 95th percentile of the last 128, of a key and a model, in bounded memory."""

import random

import pytest

from tollkeeper.policies.budgets.history import History


def test_nothing_is_known_of_fewer_than_eight() -> None:
    history = History()
    for cost in range(7):
        history.add("k", "m", "usd", cost)

    assert history.high("k", "m", "usd") is None
    history.add("k", "m", "usd", 7)
    assert history.high("k", "m", "usd") == 7
    assert history.high("k", "m", "tokens") is None
    assert history.high("k", "other", "usd") is None


def test_the_last_128_count_and_nothing_before_them() -> None:
    draw = random.Random(1)
    costs = [draw.randrange(10**6) for _ in range(1000)]
    history = History()
    for cost in costs:
        history.add("k", "m", "usd", cost)

    assert history.high("k", "m", "usd") == sorted(costs[-128:])[128 * 95 // 100]


def test_whoever_was_not_heard_of_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollkeeper.policies.budgets.history._MOST", 3)
    history = History()
    for _ in range(8):
        for key in ("a", "b", "c"):
            history.add(key, "m", "usd", 1)
    history.add("a", "m", "usd", 1)

    history.add("d", "m", "usd", 1)

    assert [history.high(key, "m", "usd") for key in "abcd"] == [1, None, 1, None]
