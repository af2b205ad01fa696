"""Who may still spend: what is held, what is clamped, what is refused, and in which words."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import pytest

from kit import calls
from kit.budgets import FRAME, PRICE, TARGET, Asked, Desk, of, of_key
from tollkeeper.core.account import Account, Target
from tollkeeper.core.budget import parse
from tollkeeper.core.call import Upload
from tollkeeper.core.errors import CallerError
from tollkeeper.core.money import Price
from tollkeeper.core.usage import Usage
from tollkeeper.policies.budgets import BudgetRules, BudgetsOptions
from tollkeeper.providers import PROVIDERS

T = TypeVar("T")
USD = "key:key_1:usd:day:UTC"
FREE = Target(Account(name="up", provider=PROVIDERS["openai"]), "m", None)


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(scenario)


def _size(asked: Asked) -> int:
    assert isinstance(asked.call.body, bytes)
    return len(asked.call.body)


def _notes(asked: Asked) -> list[tuple[object, ...]]:
    """Less the one of the first, who waited for the ledger to be read."""
    return [note for note in asked.call.notes if note[0] != "budgets"]


def _headers(asked: Asked) -> dict[bytes, bytes]:
    return dict(asked.reservation.headers)


def test_the_ceiling_is_held_and_the_true_cost_is_spent() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD/day"))
        asked = await desk.ask(key, {"max_completion_tokens": 100})
        ceiling = FRAME + _size(asked) + 200
        assert asked.reservation.held_nano == ceiling
        assert await desk.standing(key, USD) == (0, ceiling)
        assert asked.reservation.output_tokens == 100
        assert dict(asked.reservation.changes) == {}
        assert _notes(asked) == [("budget", USD, "usd", 10**9, 0, 0, ceiling)]
        asked.settle(123)
        assert await desk.standing(key, USD) == (123, 0)

    run(scenario())


def test_a_key_without_budgets_is_of_no_concern() -> None:
    desk = Desk()

    assert not desk.budgets.concern(calls.key())
    assert desk.budgets.concern(calls.key(budgets=of_key("1 USD")))
    desk.budgets.rules = BudgetRules(owners={"o": of("owner", "o", "1 USD")})
    assert not desk.budgets.concern(calls.key())
    assert desk.budgets.concern(calls.key("key_2", owner="o"))


def test_a_call_is_held_for_in_every_budget_or_in_none() -> None:
    async def scenario() -> None:
        desk = Desk(
            BudgetRules(
                all=of("all", None, "1 USD/day", "100000 tokens"),
                teams={"t": of("team", "t", "1 USD/day")},
                owners={"o": of("owner", "o", "1 USD/day")},
            )
        )
        key = calls.key(owner="o", team="t", budgets=of_key("0.000001 USD/day"))
        asked = await desk.ask(key, {"max_completion_tokens": 50})
        ids = ["all:usd:day:UTC", "team:t:usd:day:UTC", "owner:o:usd:day:UTC", USD]
        held = asked.reservation.held_nano
        assert [await desk.standing(key, each) for each in ids] == [(0, held)] * 4
        assert asked.reservation.held_tokens == FRAME + _size(asked) + 50
        error = await desk.refusal(key, {"max_completion_tokens": 300})
        assert error.code == "budget_held"
        assert [await desk.standing(key, each) for each in ids] == [(0, held)] * 4

    run(scenario())


def test_the_widest_budget_that_does_not_suffice_is_named() -> None:
    async def scenario() -> str:
        desk = Desk(BudgetRules(teams={"t": of("team", "t", "0.0000001 USD/day")}))
        key = calls.key(team="t", budgets=of_key("0.0000001 USD/day"))
        return (await desk.refusal(key)).message

    assert "The budget of the team 't' is 0.0000001 USD/day" in run(scenario())


def test_a_refusal_says_what_is_left_and_when_it_renews() -> None:
    async def scenario() -> tuple[CallerError, CallerError, CallerError]:
        desk = Desk()
        key = calls.key(budgets=of_key("0.000001 USD/month Europe/Berlin"))
        (await desk.ask(key, {"max_completion_tokens": 10})).settle(300)
        exceeded = await desk.refusal(key, {"max_completion_tokens": 1000})
        await desk.ask(key, {"max_completion_tokens": 10})
        held = await desk.refusal(key, {"max_completion_tokens": 100})
        total = await desk.refusal(calls.key("key_2", budgets=of_key("0 USD", key_id="key_2")))
        return exceeded, held, total

    exceeded, held, total = run(scenario())

    assert (exceeded.status, exceeded.type, exceeded.code) == (429, "insufficient_quota", "budget_exceeded")
    assert exceeded.headers == ((b"x-should-retry", b"false"),)
    assert exceeded.message == (
        "The budget of this key is 0.000001 USD/month Europe/Berlin: 0.0000007 USD is left"
        " (0.0000003 USD spent, 0 USD held), and this request may cost 0.000002317 USD. It renews at 2026-01-31T23:00:00Z."
    )
    assert (held.status, held.code, held.retryable) == (429, "budget_held", True)
    assert dict(held.headers)[b"retry-after"] == b"1"
    assert "try again when they have ended" in held.message
    assert total.message.endswith("It does not renew.")


def test_output_without_a_limit_is_clamped_to_the_least_of_what_bounds_it() -> None:
    async def scenario() -> None:
        desk = Desk(BudgetRules(options=BudgetsOptions(default_output=5000)))
        rich = calls.key(budgets=of_key("1 USD/day"))
        asked = await desk.ask(rich)
        assert dict(asked.reservation.changes) == {"max_completion_tokens": b"5000"}
        assert _headers(asked) == {b"x-tollkeeper-clamped": b"max_completion_tokens=5000"}
        assert _notes(asked)[0] == ("clamped", "max_completion_tokens", 5000)
        assert asked.reservation.held_nano == FRAME + _size(asked) + 10_000

        small = msgspec.structs.replace(TARGET, max_output=300)
        asked = await desk.ask(rich, {"n": 3}, small)
        assert dict(asked.reservation.changes) == {"max_completion_tokens": b"300"}
        assert asked.reservation.held_nano == FRAME + _size(asked) + 3 * 600

        asked = await desk.ask(rich, {"n": 3, "max_completion_tokens": 70})
        assert asked.reservation.held_nano == FRAME + _size(asked) + 3 * 140

        poor = calls.key("key_2", budgets=of_key("0.000001 USD/day", "1000 tokens/day", key_id="key_2"))
        asked = await desk.ask(poor)
        left = (1000 - FRAME - _size(asked)) // 2
        assert dict(asked.reservation.changes) == {"max_completion_tokens": b"%d" % left}
        asked.reservation.release()
        asked = await desk.ask(poor, {"n": 3})
        assert dict(asked.reservation.changes) == {"max_completion_tokens": b"%d" % ((left - 4) // 3)}

    run(scenario())


def test_less_than_sixteen_tokens_of_output_are_not_worth_a_call() -> None:
    async def scenario() -> None:
        desk = Desk()
        size = _size(await desk.ask(calls.key(budgets=of_key("1 USD"))))
        enough = calls.key("key_2", budgets=of_key(f"{FRAME + size + 16} tokens", key_id="key_2"))
        short = calls.key("key_3", budgets=of_key(f"{FRAME + size + 15} tokens", key_id="key_3"))
        assert dict((await desk.ask(enough)).reservation.changes) == {"max_completion_tokens": b"16"}
        assert (await desk.refusal(short)).code == "budget_exceeded"

    run(scenario())


def test_a_limit_that_the_provider_does_not_obey_is_said_again_in_the_field_that_it_does() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD"))
        mistral = Target(Account(name="mistral", provider=PROVIDERS["mistral"]), "m", PRICE)
        asked = await desk.ask(key, {"max_completion_tokens": 70}, mistral)
        assert dict(asked.reservation.changes) == {"max_tokens": b"70"}
        assert _headers(asked) == {}
        assert dict((await desk.ask(key, {"max_tokens": 70}, mistral)).reservation.changes) == {}
        assert dict((await desk.ask(key, {"max_tokens": 70})).reservation.changes) == {}

    run(scenario())


@pytest.mark.row(73)
def test_what_has_no_known_price_is_refused_where_money_is_bounded_and_only_there() -> None:
    async def scenario() -> None:
        desk = Desk()
        money, tokens = (
            calls.key(budgets=of_key("1 USD")),
            calls.key("key_2", budgets=of_key("9999 tokens", key_id="key_2")),
        )
        error = await desk.refusal(money, target=FREE)
        assert (error.status, error.code, error.param) == (400, "price_unknown", "model")
        assert "'up/m'" in error.message
        assert "[models.NAME.price]" in error.message
        others = await desk.refusal(money, {"models": ["dear/one"]})
        assert (others.code, others.param) == ("price_unknown", "models")
        soft = calls.key("key_3", budgets=of_key("1 USD soft", key_id="key_3"))
        (await desk.ask(soft, target=FREE)).settle(None)
        (await desk.ask(tokens, {"max_tokens": 9}, FREE)).settle(None, 9)
        for path in ("batches", "messages/batches"):
            batch = await desk.refusal(money, {}, path=path, metered=False, model=None)
            assert batch.code == "price_unknown"
        assert desk.budgets.refused == {("key", "price_unknown"): 4}

    run(scenario())


@pytest.mark.row(73)
def test_a_price_that_changes_meanwhile_is_charged_as_it_is_in_the_end() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD/day"))
        asked = await desk.ask(key, {"max_completion_tokens": 10})
        dearer = asked.reservation.held_nano or 0
        asked.settle(dearer * 10)
        assert await desk.standing(key, USD) == (dearer * 10, 0)

    run(scenario())


def test_the_price_of_the_tier_that_is_asked_for_is_held() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.prices = {None: PRICE, "priority": Price(version="1", input=10_000_000, output=0)}
        key = calls.key(budgets=of_key("1 USD"))
        for tier, rate in ((None, 1), ("auto", 1), ("default", 1), ("priority", 10)):
            asked = await desk.ask(key, {"service_tier": tier, "max_completion_tokens": 0}, FREE)
            assert asked.reservation.held_nano == rate * (FRAME + _size(asked))
        assert (await desk.refusal(key, {"service_tier": "flex"}, target=FREE)).code == "price_unknown"
        assert (await desk.ask(key, {"service_tier": 7}, FREE)).reservation.held_nano is not None

    run(scenario())


@pytest.mark.row(72)
def test_what_costs_more_than_was_held_is_charged_in_full_noted_and_ends_the_next_call() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("0.00001 USD/day"))
        asked = await desk.ask(key, {"max_completion_tokens": 10})
        held = asked.reservation.held_nano or 0
        asked.settle(12_000)
        assert await desk.standing(key, USD) == (12_000, 0)
        assert asked.call.notes[-1] == ("overdraft", USD, 12_000 - held)
        assert desk.budgets.overdrawn == {("key",): 1}
        error = await desk.refusal(key, {"max_completion_tokens": 0})
        assert error.code == "budget_exceeded"
        assert " 0 USD is left (0.000012 USD spent" in error.message

    run(scenario())


def test_a_soft_budget_warns_once_a_window_and_refuses_nothing() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("0.000001 USD/hour soft"))
        first = await desk.ask(key)
        assert _headers(first) == {}
        assert dict(first.reservation.changes) == {}
        assert first.reservation.held_nano is None
        first.settle(1000)
        for _ in range(3):
            asked = await desk.ask(key)
            assert _headers(asked) == {
                b"x-tollkeeper-budget-warning": b"this key: 0.000001 USD/hour soft, 0.000001 USD spent"
            }
        assert desk.warnings == [("key:key_1:usd:hour:UTC", 1000)]
        desk.now += 3_600_000
        assert _headers(await desk.ask(key)) == {}
        assert desk.budgets.warned == {("key",): 1}

    run(scenario())


def test_a_warning_comes_before_the_refusal_of_the_same_window() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("0.000001 USD/day soft", "0.000002 USD/day"))
        (await desk.ask(key, {"max_completion_tokens": 10})).settle(1100)
        asked = await desk.ask(key, {"max_completion_tokens": 10})
        assert b"x-tollkeeper-budget-warning" in _headers(asked)
        assert (await desk.refusal(key, {"max_completion_tokens": 900})).code == "budget_exceeded"

    run(scenario())


def test_a_key_has_its_own_in_place_of_each_keys() -> None:
    async def scenario() -> None:
        desk = Desk(BudgetRules(each_key=(parse("0.000001 USD/day", "key", ""), parse("9000 tokens", "key", ""))))
        plain, own = calls.key(), calls.key("key_2", budgets=of_key("1 USD/day", key_id="key_2"))
        assert (await desk.refusal(plain, {"max_completion_tokens": 500})).code == "budget_exceeded"
        await desk.ask(own, {"max_completion_tokens": 500})
        assert (await desk.refusal(own, {"max_completion_tokens": 9000})).code == "budget_exceeded"
        assert len(await desk.budgets.standings([plain, own], desk.now)) == 4

    run(scenario())


def test_another_amount_counts_at_once_and_what_is_spent_and_held_stays() -> None:
    async def scenario() -> None:
        desk = Desk(BudgetRules(all=of("all", None, "0.000001 USD/day")))
        key = calls.key()
        running = await desk.ask(key, {"max_completion_tokens": 100})
        assert (await desk.refusal(key, {"max_completion_tokens": 100})).code == "budget_held"
        desk.budgets.rules = BudgetRules(all=of("all", None, "0.00001 USD/day"))
        await desk.ask(key, {"max_completion_tokens": 100})
        running.settle(400)
        spent, held = await desk.standing(key, "all:usd:day:UTC")
        assert (spent, held > 0) == (400, True)
        desk.budgets.rules = BudgetRules()
        assert not desk.budgets.concern(key)

    run(scenario())


@pytest.mark.row(61)
def test_first_calls_of_an_owner_that_come_at_once_share_its_budget() -> None:
    async def scenario() -> int:
        desk = Desk(BudgetRules(owners={"new": of("owner", "new", "0.000001 USD/day")}))
        desk.listed.pause = 4
        keys = [calls.key(f"key_{n}", owner="new") for n in range(8)]
        asked = (desk.ask(key, {"max_completion_tokens": 100}) for key in keys)
        return sum(isinstance(found, Asked) for found in await asyncio.gather(*asked, return_exceptions=True))

    assert run(scenario()) == 1


def test_what_is_no_text_is_held_for_with_the_whole_context() -> None:
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]

    async def scenario() -> None:
        desk = Desk(BudgetRules(options=BudgetsOptions(unbounded_input=777_000)))
        key = calls.key(budgets=of_key("1 USD"))
        ask = {"messages": picture, "max_completion_tokens": 0}
        assert (await desk.ask(key, ask)).reservation.held_nano == 777_000
        known = msgspec.structs.replace(TARGET, price=Price(version="1", input=1_000_000, context=128_000))
        assert (await desk.ask(key, ask, known)).reservation.held_nano == 128_000

        async def nothing() -> Any:
            yield b""

        upload = calls.call(key, path="audio/transcriptions")
        upload.body, upload.members = Upload(nothing(), None), {}
        found = await desk.budgets.reserve(upload, TARGET, desk.now)
        assert found is not None
        assert found.held_nano == 777_000 + 2 * 32_768

    run(scenario())


def test_a_dry_call_is_told_all_and_takes_nothing() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD/day"))
        asked = await desk.ask(key, dry=True)
        assert [note[0] for note in _notes(asked)] == ["clamped", "budget"]
        assert await desk.standing(key, USD) == (0, 0)

    run(scenario())


def test_looking_at_what_is_stored_holds_nothing() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("0 USD"))
        look = calls.call(key, metered=False)
        assert await desk.budgets.reserve(look, TARGET, desk.now) is None

    run(scenario())


def test_a_limit_that_is_no_number_is_refused_by_name() -> None:
    async def scenario() -> CallerError:
        return await Desk().refusal(calls.key(budgets=of_key("1 USD")), {"max_completion_tokens": "many"})

    error = run(scenario())

    assert (error.code, error.param) == ("invalid_type", "max_completion_tokens")


# --- adaptive -------------------------------------------------------------------------------------------------------


async def _experienced(desk: Desk, key: Any, cost: int, count: int = 20) -> None:
    for _ in range(count):
        (await desk.ask(key, {"max_completion_tokens": 1000})).settle(cost)


def test_an_adaptive_budget_holds_what_such_calls_have_cost() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("0.0001 USD/day adaptive"))
        first = await desk.ask(key, {"max_completion_tokens": 1000})
        assert first.reservation.held_nano == FRAME + _size(first) + 2000
        first.reservation.release()
        await _experienced(desk, key, 500)
        later = await desk.ask(key, {"max_completion_tokens": 1000})
        assert later.reservation.held_nano == 500
        assert later.reservation.output_tokens == (500 - FRAME - _size(later)) // 2
        later.reservation.release()
        await _experienced(desk, key, 1)
        later = await desk.ask(key, {"max_completion_tokens": 1000})
        assert later.reservation.held_nano == 500  # the 95th percentile of all forty
        other = await desk.ask(key, {"model": "another", "max_completion_tokens": 1000})
        assert other.reservation.held_nano == FRAME + _size(other) + 2000

    run(scenario())


def test_an_adaptive_budget_holds_at_least_the_input() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD/day adaptive"))
        await _experienced(desk, key, 5)
        asked = await desk.ask(key, {"max_completion_tokens": 1000})
        assert asked.reservation.held_nano == FRAME + _size(asked)

    run(scenario())


def test_at_the_very_worst_an_adaptive_budget_is_exceeded_by_its_overshoot() -> None:
    async def scenario() -> tuple[int, int]:
        desk = Desk(BudgetRules(options=BudgetsOptions(adaptive_overshoot=0.25)))
        key = calls.key(budgets=of_key("0.0001 USD/day adaptive"))
        await _experienced(desk, key, 400)
        asking = (desk.ask(key, {"max_completion_tokens": 1000}) for _ in range(200))
        found = await asyncio.gather(*asking, return_exceptions=True)
        running = [asked for asked in found if isinstance(asked, Asked)]
        for asked in running:
            asked.settle(FRAME + _size(asked) + 2000)
        return len(running), (await desk.standing(key, USD))[0]

    count, spent = run(scenario())

    assert count > (100_000 - 8000) // 2300 + 8
    assert 100_000 < spent <= 125_000


def test_a_reservation_grows_while_there_is_room_and_says_when_there_is_none() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("0.000004 USD/day"))
        asked = await desk.ask(key, {"max_completion_tokens": 100})
        held = asked.reservation.held_nano or 0
        assert asked.reservation.grow(200)
        assert asked.reservation.output_tokens == 200 + 50 + 256
        assert asked.reservation.held_nano == held + 2 * (asked.reservation.output_tokens - 100)
        assert asked.reservation.grow(1700)
        assert asked.reservation.output_tokens == 1700
        before = await desk.standing(key, USD)
        assert not asked.reservation.grow(2000)
        assert await desk.standing(key, USD) == before
        stopped = asked.reservation.stopped()
        assert stopped.code == "budget_exceeded"
        assert "this answer was stopped" in stopped.message
        asked.reservation.settle(3000, Usage(), None, True)
        desk.end(asked.call, desk.now, 3000)
        assert await desk.standing(key, USD) == (3000, 0)

    run(scenario())
