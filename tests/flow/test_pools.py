"""Pools: found once, forgotten when the config changes, never more than can be kept."""

import pytest

from kit.calls import call, key
from tollkeeper.core.account import Account, Target
from tollkeeper.core.call import Call
from tollkeeper.core.errors import CallerError
from tollkeeper.core.money import Price
from tollkeeper.flow.health import Health, HealthOptions
from tollkeeper.flow.pools import Pools
from tollkeeper.flow.routing import Routing
from tollkeeper.providers import PROVIDERS

A, B = (Account(name=name, provider=PROVIDERS["vllm"]) for name in "ab")
PRICE = Price(version="x", input=1_000_000_000)


def asked(model: str | None, provider: str | None = None) -> Call:
    return call(key(), model=model, provider=provider)


def pools() -> tuple[Pools, Health]:
    health = Health(HealthOptions(), lambda: 0.0, lambda what, name, details: None)
    return Pools(health, lambda target: PRICE if target.account is A else None), health


def test_a_pool_is_made_once_and_anew_after_a_change_with_the_health_that_was_known() -> None:
    found, _ = pools()
    models = {"m": (Target(A, "x"), Target(B, "x"))}
    routing, changed = Routing(models, {"a": A, "b": B}), Routing(models, {"a": A, "b": B})
    first = found.of(routing, asked("m"))

    assert found.of(routing, asked("m")) is first
    again = found.of(changed, asked("m"))
    assert again is not first
    assert [member.state for member in again.members] == [member.state for member in first.members]
    assert [member.name for member in again.members] == ["a/x", "b/x"]


def test_names_of_a_providers_own_and_calls_without_a_model_have_pools_of_one() -> None:
    found, _ = pools()
    routing = Routing({"m": (Target(A, "x"),)}, {"a": A, "b": B})

    assert found.of(routing, asked("b/y")).members[0].target == Target(B, "y")
    assert found.of(routing, asked("b/y")) is found.of(routing, asked("b/y"))
    assert found.of(routing, asked(None)).members[0].target == Target(A, None)
    assert found.of(routing, asked(None, "b")).members[0].target == Target(B, None)
    assert found.of(routing, asked("a/x")).members[0].state is found.of(routing, asked("m")).members[0].state
    with pytest.raises(CallerError):
        found.of(routing, asked("nobody/x"))


def test_names_that_anybody_may_think_of_do_not_pile_up() -> None:
    found, health = pools()
    routing = Routing({"m": (Target(A, "x"),)}, {"a": A})
    first = found.of(routing, asked("m"))
    for number in range(3000):
        found.of(routing, asked(f"a/{number}"))

    assert found.of(routing, asked("m")) is first
    assert len(found._named) <= 1001
    assert len(list(health.states())) <= 2000


def test_prices_are_looked_up_once() -> None:
    found, _ = pools()
    pool = found.of(Routing({"m": (Target(A, "x"), Target(B, "x"))}, {"a": A, "b": B}), asked("m"))

    assert [member.cost for member in found.priced(pool).members] == [3_000_000, None]
    assert pool.priced
