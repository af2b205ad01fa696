"""The order in which targets are asked: laws that hold for every pool, and each strategy's own."""

import random
from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.core.account import Account, Balancing, Strategy, Target
from tollkeeper.flow.choosing import Member, Pool, choose, most_ejected
from tollkeeper.flow.health import Health, HealthOptions
from tollkeeper.providers import PROVIDERS

OPTIONS = HealthOptions()
NOW = 1000.0


def pool(
    count: int,
    strategy: Strategy = "ordered",
    *,
    affinity: bool = False,
    weights: tuple[float, ...] = (),
    health: Health | None = None,
) -> Pool:
    """Targets a/m, b/m, … each of an account of its own."""
    health = health or Health(OPTIONS, lambda: 0.0, lambda what, name, details: None)
    members = []
    for number in range(count):
        account = Account(name=chr(97 + number), provider=PROVIDERS["vllm"])
        target = Target(account, "m", None, weights[number] if weights else 1.0)
        members.append(Member(target, health.target(account, "m", target.name)))
    return Pool(members, Balancing(strategy=strategy, affinity=affinity))


def order(chosen: Pool, now: float = NOW, draw: Callable[[], float] = lambda: 0.5, **options: object) -> str:
    """Letters of the targets that are asked, in order."""
    return "".join(member.name[0] for member in choose(chosen, OPTIONS, now, draw, **options).order)  # type: ignore[arg-type]


STATES = st.sampled_from(["well", "ejected", "due", "probing", "cooled", "key_ejected", "full", "slow"])


def afflict(member: Member, state: str, number: int) -> None:
    """Puts a target into a state; `number` tells when it ends."""
    health = member.state
    if state in ("ejected", "due", "probing"):
        health.failures = 5
        health.ejected_until = NOW + 1 + number if state == "ejected" else NOW - 1
        health.probing = state == "probing"
    elif state == "cooled":
        health.cooled_until = NOW + 1 + number
    elif state == "key_ejected":
        health.account.key_rests_until = NOW + 1 + number
    elif state == "slow":
        health.back_at = NOW - number
    elif state == "full":
        target = member.target
        member.target = Target(target.account, target.model, None, target.weight, 1)
        health.in_flight = 1


@given(
    states=st.lists(STATES, min_size=1, max_size=8),
    strategy=st.sampled_from(["ordered", "weighted", "least-latency", "least-cost"]),
    session=st.none() | st.text(max_size=5),
    seed=st.integers(0, 1000),
)
def test_whatever_the_states_somebody_is_asked_nobody_twice_and_no_more_are_left_out_than_may_be(
    states: list[str], strategy: Strategy, session: str | None, seed: int
) -> None:
    chosen = pool(len(states), strategy, affinity=True)
    for number, (member, state) in enumerate(zip(chosen.members, states, strict=True)):
        afflict(member, state, number)

    choice = choose(chosen, OPTIONS, NOW, random.Random(seed).random, session=session)

    by_name = {member.name: state for member, state in zip(chosen.members, states, strict=True)}
    asked = [by_name[member.name] for member in choice.order]
    assert len(set(choice.order)) == len(choice.order)
    assert {member.name for member in choice.order}.isdisjoint(member.name for member, _ in choice.skipped)
    assert bool(asked) == any(state != "full" for state in states)
    assert "full" not in asked
    assert sum(reason == "ejected" for _, reason in choice.skipped) <= most_ejected(len(states), OPTIONS.share)
    if {"well", "slow", "due"} & set(states):
        assert "cooled" not in asked
        assert "key_ejected" not in asked
        assert all(state in asked for state in states if state in ("well", "slow"))
    if "due" in states:
        assert asked[0] == "due", "a probe comes first, whatever the strategy: else nobody would ever come back"


def test_at_most_half_are_ejected_and_never_the_last() -> None:
    assert [most_ejected(count, 0.5) for count in (1, 2, 3, 4, 5, 10)] == [0, 1, 2, 2, 3, 5]
    assert [most_ejected(count, 1.0) for count in (1, 2, 5)] == [0, 1, 4]
    chosen = pool(4)
    for number, member in enumerate(chosen.members[:3]):
        afflict(member, "ejected", number)

    assert order(chosen) == "da", "of three ejected the one that ends first is asked last"


def test_what_is_nearest_to_being_well_is_asked_where_nobody_is_well() -> None:
    chosen = pool(3)
    afflict(chosen.members[0], "key_ejected", 0)
    afflict(chosen.members[1], "cooled", 5)
    afflict(chosen.members[2], "cooled", 2)

    assert order(chosen) == "cba"


def test_of_targets_in_order_one_that_came_back_gets_its_share_little_by_little() -> None:
    chosen = pool(2)
    chosen.members[0].state.back_at = NOW
    draw = random.Random(1).random

    shares = []
    for after in (0.0, 7.5, 15.0, 30.0):
        firsts = Counter(order(chosen, NOW + after, draw)[0] for _ in range(1000))
        shares.append(firsts["a"] / 1000)

    assert shares == sorted(shares)
    assert (shares[0] < 0.15, 0.2 < shares[1] < 0.3, 0.45 < shares[2] < 0.55, shares[3]) == (True, True, True, 1.0)


def test_weights_are_shares_and_each_order_has_everyone() -> None:
    chosen = pool(3, "weighted", weights=(5.0, 3.0, 2.0))
    draw = random.Random(2).random

    orders = [order(chosen, draw=draw) for _ in range(10_000)]

    firsts = Counter(one[0] for one in orders)
    assert all(sorted(one) == ["a", "b", "c"] for one in orders)
    assert (round(firsts["a"], -3), round(firsts["b"], -3), round(firsts["c"], -3)) == (5000, 3000, 2000)


@given(sessions=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=30, unique=True), gone=st.integers(0, 4))
def test_a_target_that_goes_moves_its_own_sessions_and_no_others(sessions: list[str], gone: int) -> None:
    chosen = pool(5, "least-latency", affinity=True)
    before = {session: order(chosen, session=session) for session in sessions}
    name = chosen.members[gone].name[0]
    afflict(chosen.members[gone], "cooled", 5)

    for session, ranks in before.items():
        assert order(chosen, session=session) == ranks.replace(name, "")


def test_sessions_are_spread_by_weight() -> None:
    chosen = pool(2, affinity=True, weights=(3.0, 1.0))

    firsts = Counter(order(chosen, session=str(number))[0] for number in range(4000))

    assert 2850 < firsts["a"] < 3150


def test_the_quicker_of_two_is_asked_and_a_slow_one_is_tried_again_in_time() -> None:
    chosen = pool(3, "least-latency")
    for member, seconds in zip(chosen.members, (0.05, 0.06, 2.5), strict=True):
        member.state.latency[False] = seconds
        member.state.latency_at = NOW
    draw = random.Random(3).random

    soon = Counter(order(chosen, draw=draw)[0] for _ in range(1000))
    late = Counter(order(chosen, NOW + 90, draw)[0] for _ in range(1000))

    assert soon["c"] == 0
    assert soon["a"] > soon["b"] > 250, "not everyone goes where it is quickest"
    assert late["c"] == 0, "all have been idle as long"
    for member in chosen.members[:2]:
        member.state.latency_at = NOW + 90
    assert Counter(order(chosen, NOW + 90, draw)[0] for _ in range(1000))["c"] > 250


def test_calls_under_way_count_against_a_quick_target() -> None:
    chosen = pool(2, "least-latency")
    for member, seconds in zip(chosen.members, (0.1, 0.3), strict=True):
        member.state.latency[True] = seconds
        member.state.latency_at = NOW
    assert order(chosen, streamed=True) == "ab"
    chosen.members[0].state.in_flight = 5

    assert order(chosen, streamed=True) == "ba"


def test_a_target_that_nothing_is_known_of_is_taken_for_an_average_one() -> None:
    chosen = pool(3, "least-latency")
    chosen.members[0].state.latency[False] = 0.1
    chosen.members[1].state.latency[False] = 0.9
    chosen.members[0].state.latency_at = chosen.members[1].state.latency_at = NOW

    assert order(chosen)[1:] in ("cb", "ab", "ac", "bc")
    assert [member.name for member in sorted(chosen.members, key=lambda m: m.state.latency[False] or 0.5)] == [
        "a/m",
        "c/m",
        "b/m",
    ]


def test_the_cheapest_comes_first_and_what_has_no_price_last() -> None:
    chosen = pool(4, "least-cost")
    for member, cost in zip(chosen.members, (None, 30, 10, 30), strict=True):
        member.cost = cost

    assert order(chosen) == "cbda"
