"""The replay finds what a budget let through that it should not have, and nothing where all was well."""

import random
from collections.abc import Sequence

import pytest

from tollkeeper.core.past import Noted, Past, Spending
from tollkeeper.core.replay import Replay

DAY = 86_400_000
T = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
KEY = "key:k:usd:day:UTC"


class Found:
    """What a replay says of a past."""

    def __init__(self, pasts: Sequence[Past], kept_from: int = 0) -> None:
        self.problems: list[str] = []
        self.overdrafts: list[str] = []
        self.windows: list[Spending] = []
        ids = {note.id for past in pasts for note in past.noted}
        replay = Replay(sorted(ids), kept_from, self.problems.append, self.overdrafts.append, self.windows.append)
        for past in sorted(pasts, key=lambda past: past.start):
            replay.feed(past)
        replay.finish()


def past(
    at: float,
    seconds: float = 1.0,
    cost: int = 10,
    *,
    spent: int | None = None,
    held: int = 0,
    ceiling: int = 20,
    amount: int = 100,
    id: str = KEY,
    adaptive: int | None = None,
    crashed: bool = False,
    late: bool = False,
    number: int = 0,
) -> Past:
    """An attempt of key `k`, begun `at` seconds after T, with its budget's note unless `spent` is None."""
    notes = () if spent is None else (Noted(id, id.split(":")[-3], amount, spent, held, ceiling, adaptive),)
    start = T + int(at * 1000)
    return Past(
        request_id=f"r{number or start - T}",
        attempt=1,
        start=start,
        end=start if crashed else start + seconds * 1000,
        key_id="k",
        owner="ann",
        team=None,
        nano=cost,
        tokens=cost,
        crashed=crashed,
        late=late,
        noted=notes,
    )


GOOD = [past(0, spent=0), past(0.5, spent=0, held=20), past(10, spent=20), past(20, spent=30)]


def test_a_good_past_has_no_problems_and_its_window_is_told() -> None:
    found = Found(GOOD)

    assert found.problems == []
    assert found.overdrafts == []
    [window] = found.windows
    assert (window.id, window.scope, window.of, window.unit) == (KEY, "key", "k", "usd")
    assert (window.start, window.end) == (T, T + DAY)
    assert (window.amount, window.admitted, window.spent) == (100, 4, 40)
    assert (window.peak, window.peak_at) == (50, T + 20_000)


def test_one_that_was_admitted_against_its_own_numbers_is_named() -> None:
    found = Found([past(0, spent=0), past(5, spent=10, held=80)])

    assert [problem.split(":")[0] for problem in found.problems] == ["r5000"]
    assert "of which 10 were spent and 80 held, though it may cost 20" in found.problems[0]


def test_a_budget_that_was_exceeded_by_calls_side_by_side_is_found_whatever_they_noted() -> None:
    found = Found([past(0.01 * n, 5, spent=0, held=0, ceiling=30, number=n + 1) for n in range(4)])

    assert [problem for problem in found.problems if "was exceeded" in problem] == [
        f"r4:1: with it 0 nano-USD were spent and 120 held in {KEY} of 100: it was exceeded"
    ]


def test_those_of_one_millisecond_are_all_held_at_its_end() -> None:
    found = Found([past(0, 5, spent=0, held=20 * n, ceiling=20, number=n + 1) for n in range(6)])

    assert any("120 held" in problem for problem in found.problems)


def test_what_ended_before_is_spent_and_what_was_spent_counts() -> None:
    found = Found([past(0, 1, 70, spent=0, ceiling=70), past(5, 1, 10, spent=0, ceiling=40)])

    assert f"r5000:1: {KEY} had 0 nano-USD as spent where the log has 70" in found.problems
    assert any("it was exceeded" in problem for problem in found.problems)


def test_an_event_that_is_missing_is_noticed_by_those_after_it() -> None:
    found = Found([GOOD[0], *GOOD[2:]])

    assert found.problems == [
        f"r{at}:1: {KEY} had {noted} nano-USD as spent where the log has {log}: an event is missing, or the clock was set"
        for at, noted, log in ((10_000, 20, 10), (20_000, 30, 20))
    ]


def test_holds_that_the_book_forgot_are_noticed() -> None:
    found = Found([past(0, 60, spent=0), past(30, spent=0, held=0)])

    assert found.problems == [f"r30000:1: {KEY} had 0 nano-USD as held where the log has 20"]


def test_a_cost_beyond_the_ceiling_is_an_overdraft_and_no_problem_of_its_own() -> None:
    found = Found([past(0, cost=150, spent=0), past(5, cost=0, ceiling=0, spent=150, amount=200)])

    assert found.problems == []
    assert found.overdrafts == [f"r0:1 cost 130 nano-USD more than its ceiling in {KEY}"]
    assert (found.windows[0].overdrafts, found.windows[0].overdrawn, found.windows[0].spent) == (1, 130, 150)


def test_an_adaptive_budget_holds_less_than_the_ceiling() -> None:
    ids = [past(0.1 * n, 5, 30, spent=0, held=10 * n, ceiling=90, adaptive=10, number=n + 1) for n in range(9)]

    assert Found(ids).problems == []
    assert Found(ids).windows[0].peak == 90


def test_events_end_in_the_window_in_which_they_began() -> None:
    late = DAY / 1000 - 1
    found = Found([past(late, 10, 60, spent=0, ceiling=60), past(late + 5, 1, 60, spent=0, ceiling=60)])

    assert found.problems == []
    assert [(window.start, window.spent) for window in found.windows] == [(T, 60), (T + DAY, 60)]


def test_calls_that_were_not_asked_about_count_as_spent() -> None:
    found = Found([past(0, cost=80), past(5, spent=80, ceiling=10), past(10, spent=0, ceiling=10)])

    assert found.problems == [f"r10000:1: {KEY} had 0 nano-USD as spent where the log has 90"]


def test_after_a_crash_nobody_claims_to_know_what_was_spent_before() -> None:
    crashed = past(1, cost=5, crashed=True)

    assert Found([past(0, spent=0), crashed, past(10, spent=10), past(20, spent=77)]).problems == []
    assert len(Found([past(0, spent=0), crashed, past(10, spent=3)]).problems) == 1


def test_one_that_waited_for_the_ledger_was_admitted_nobody_knows_when() -> None:
    """It began while the first was under way, and was admitted when that had ended."""
    first = past(0, 0.5, 10, spent=0, ceiling=60)
    waited = {"seconds": 9.0, "spent": 10, "ceiling": 60}

    assert Found([first, past(0.2, late=True, **waited), past(0.3, 0.1, spent=0, held=60, ceiling=40)]).problems == []
    assert len(Found([first, past(0.2, **waited)]).problems) == 2
    assert len(Found([first, past(0.2, late=True, **waited), past(5, spent=10, held=60, ceiling=40)]).problems) == 2


def test_where_detail_is_deleted_more_may_have_been_spent_than_there_is() -> None:
    pasts = [past(5, spent=60), past(15, spent=70)]

    assert Found(pasts, kept_from=T + 1).problems == []
    assert len(Found(pasts).problems) == 2


@pytest.mark.parametrize(
    ("id", "of"),
    [("all:tokens:total:UTC", None), ("owner:ann:tokens:hour:UTC", "ann"), ("key:k:usd:month:America/New_York", "k")],
)
def test_every_kind_of_budget_is_understood(id: str, of: str | None) -> None:
    [window] = Found([past(0, spent=0, id=id)]).windows

    assert (window.id, window.of, window.spent) == (id, of, 10)


def test_names_with_colons_are_names() -> None:
    one = past(0, spent=0, id="owner:a:b:usd:day:UTC")
    found = Found([Past(**{name: getattr(one, name) for name in one.__struct_fields__} | {"owner": "a:b"})])

    assert found.windows[0].of == "a:b"
    assert found.windows[0].spent == 10


@pytest.mark.parametrize("seed", range(20))
def test_a_gate_that_keeps_its_budgets_is_never_accused(seed: int) -> None:
    """A gate in simulated time, its clock cut to milliseconds as a ledger's is."""
    chance = random.Random(seed)
    amount, spent, held, now = 1000, 0, 0, 0.0
    under_way: list[tuple[float, int, int]] = []
    pasts = []
    for number in range(1, 400):
        now += chance.choice((0.0, 0.0003, 0.0011, 0.01, 0.3))
        for ended in [one for one in under_way if one[0] <= now]:
            under_way.remove(ended)
            spent, held = spent + ended[1], held - ended[2]
        ceiling = chance.randrange(1, 60)
        if spent + held + ceiling > amount:
            continue
        seconds, cost = chance.choice((0.0002, 0.004, 0.2, 5.0)), chance.randrange(0, ceiling + 1)
        begun = past(now, seconds, cost, spent=spent, held=held, ceiling=ceiling, amount=amount, number=number)
        pasts.append(begun)
        under_way.append((now + seconds, cost, ceiling))
        held += ceiling
    found = Found(pasts)

    assert found.problems == []
    assert 0 < found.windows[0].peak <= amount
    assert found.windows[0].spent == sum(one.nano for one in pasts)
