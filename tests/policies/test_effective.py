"""Which limits hold for a call, and what it costs in each."""

import msgspec

from kit.calls import key
from tollkeeper.core.rate import parse_all, shown
from tollkeeper.policies.limits.effective import FIRST_MEAN, Effective, LimitRules, Plan

RULES = LimitRules(
    all=parse_all(["3000 requests/minute"], "all", None),
    each_key=parse_all(["60 requests/minute", "10 concurrent"], "key", ""),
    teams={"research": parse_all(["1000000 tokens/hour"], "team", "research")},
    owners={"ada": parse_all(["200000 tokens/hour"], "owner", "ada")},
    models={"gpt-4o": parse_all(["20 concurrent"], "model", "gpt-4o")},
)


def ids(effective: Effective) -> dict[str, str]:
    return {one.id: shown(one.limit) for one in effective.allowances}


def test_a_call_falls_under_its_key_owner_team_model_and_everybody() -> None:
    plan = Plan(key("key_1", "5 requests/second", owner="ada", team="research"), RULES, None)

    assert ids(plan.of("gpt-4o")) == {
        "key:key_1:requests:60": "60 requests/minute",
        "key:key_1:concurrency": "10 concurrent",
        "key:key_1:requests:1": "5 requests/second",
        "owner:ada:tokens:3600": "200000 tokens/hour",
        "team:research:tokens:3600": "1000000 tokens/hour",
        "model:gpt-4o:concurrency": "20 concurrent",
        "all:requests:60": "3000 requests/minute",
    }
    assert "model:gpt-4o:concurrency" not in ids(plan.of("gpt-4o-mini"))
    assert "model:gpt-4o:concurrency" not in ids(plan.of(None))
    assert plan.of("gpt-4o") is plan.of("gpt-4o")


def test_a_keys_own_limit_stands_in_place_of_each_keys_of_the_same_kind_and_span() -> None:
    own = ids(Plan(key("key_1", "600 requests/minute"), RULES, None).of("m"))

    assert own["key:key_1:requests:60"] == "600 requests/minute"
    assert own["key:key_1:concurrency"] == "10 concurrent"


def test_without_rules_and_limits_nothing_holds() -> None:
    assert Plan(key(), LimitRules(), None).of("m").allowances == ()


def test_a_call_costs_in_each_dimension_what_it_is_counted_in() -> None:
    limits = parse_all(
        ["1 requests/minute", "9 tokens/minute", "9 input_tokens/minute", "9 output_tokens/minute", "1 concurrent"],
        "all",
        None,
    )

    assert Effective(limits).costs(100, 20) == [1, 120, 100, 20, 1]
    assert Effective(limits[:1]).costs(100, 20) == [1]
    assert not Effective((limits[0], limits[4])).counts_tokens
    assert (Effective(limits).requests, Effective(limits).tokens) == ((0,), (1, 2, 3))


def test_the_mean_of_a_keys_answers_follows_them_and_outlives_a_change_of_its_limits() -> None:
    plan = Plan(key(), RULES, None)
    assert plan.mean_output == FIRST_MEAN
    for _ in range(100):
        plan.learn(1000)
    assert 990 <= plan.mean_output <= 1000

    changed = Plan(msgspec.structs.replace(plan.key, limits=()), RULES, plan)

    assert changed.mean_output == plan.mean_output
    for _ in range(200):
        changed.learn(1)
    assert changed.mean_output == 1
