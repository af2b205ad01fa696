"""Notes of budgets are read back, of each budget the one that counts."""

import pytest

from tollkeeper.core.past import Noted, late, noted

KEY = "key:k:usd:day:UTC"


def test_the_last_note_of_a_budget_counts() -> None:
    notes = [["budget", KEY, "usd", 9, 1, 2, 3], ["limit", "x", 1, 1, 1], ["budget", KEY, "usd", 9, 4, 5, 6, 2]]

    assert noted(notes) == (Noted(KEY, "usd", 9, 4, 5, 6, 2),)


@pytest.mark.parametrize(("adaptive", "share"), [(None, 6), (2, 2), (0, 0)])
def test_what_is_held_is_the_ceiling_unless_the_budget_is_adaptive(adaptive: int | None, share: int) -> None:
    assert Noted(KEY, "usd", 9, 4, 5, 6, adaptive).share == share


def test_an_attempt_that_waited_for_its_budgets_says_so() -> None:
    assert late([["limit", "x", 1, 1, 1], ["budgets", "read from the ledger first"]])
    assert not late([["budget", KEY, "usd", 9, 1, 2, 3]])
