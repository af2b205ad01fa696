"""The book of budgets, whatever happens in whatever order: nothing is overrun, held for ever, or lost."""

import asyncio

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit import calls, records
from kit.budgets import NOW, Asked, Desk, of, of_key, summed
from tollkeeper.core.budget import Budget
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.keys import Key
from tollkeeper.policies.budgets import BudgetRules, BudgetsOptions
from tollkeeper.policies.budgets.book import Book, Purse

HOUR = 3_600_000
KEYS = [
    calls.key("key_1", owner="o", team="t", budgets=of_key("3000 tokens/hour", "0.00002 USD/day")),
    calls.key(
        "key_2", owner="o", team="t", budgets=of_key("0.00001 USD/hour", "0.000005 USD/hour soft", key_id="key_2")
    ),
    calls.key("key_3", team="t", budgets=of_key("0.00002 USD/day Europe/Berlin adaptive", key_id="key_3")),
    calls.key("key_4"),
]
RULES = BudgetRules(
    all=of("all", None, "0.00006 USD/day", "20000 tokens/day"),
    teams={"t": of("team", "t", "0.00004 USD/week")},
    options=BudgetsOptions(adaptive_overshoot=0.5),
)


class Traffic(RuleBasedStateMachine):
    """Calls begin and end, time goes forth and back, budgets are made larger, reading takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.desk = Desk(RULES)
        self.keys = list(KEYS)
        self.under_way: list[tuple[Asked, int]] = []

    @initialize(past=st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 3000)), max_size=5))
    def something_was_spent_before(self, past: list[tuple[Key, int]]) -> None:
        for key, cost in past:
            self.desk.end(calls.call(key), NOW - HOUR // 2, cost, cost // 2)

    @rule(
        who=st.integers(0, 3),
        many=st.integers(1, 8),
        most=st.one_of(st.none(), st.integers(0, 2000)),
        pause=st.integers(0, 3),
    )
    def calls_come_at_once(self, who: int, many: int, most: int | None, pause: int) -> None:
        self.desk.listed.pause = pause
        body = {} if most is None else {"max_completion_tokens": most}

        async def all_of_them() -> list[Asked | BaseException]:
            asked = (self.desk.ask(self.keys[who], body) for _ in range(many))
            return await asyncio.gather(*asked, return_exceptions=True)

        for asked in self.runner.run(all_of_them()):
            if isinstance(asked, Asked):
                held = asked.reservation.held_nano
                self.under_way.append((asked, 0 if held is None else held))
            else:
                assert isinstance(asked, CallerError)
                assert asked.code in ("budget_exceeded", "budget_held")

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), part=st.floats(0, 1))
    def one_ends(self, which: int, part: float) -> None:
        asked, held = self.under_way.pop(which % len(self.under_way))
        asked.settle(int(held * part), int(asked.reservation.output_tokens * part))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100))
    def one_is_never_sent(self, which: int) -> None:
        asked, _ = self.under_way.pop(which % len(self.under_way))
        asked.reservation.release()
        asked.reservation.release()

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), tokens=st.integers(1, 3000))
    def one_goes_on(self, which: int, tokens: int) -> None:
        at = which % len(self.under_way)
        asked, held = self.under_way[at]
        asked.reservation.grow(tokens)
        self.under_way[at] = asked, max(held, asked.reservation.held_nano or 0)

    @rule(hours=st.sampled_from([-25, -1, 1, 5, 24, 24 * 7]))
    def time_jumps(self, hours: int) -> None:
        self.desk.now += hours * HOUR

    @rule(key=st.integers(0, 3), amount=st.integers(1, 50))
    def a_budget_is_made(self, key: int, amount: int) -> None:
        fresh = of_key(f"{amount}000 tokens/week", key_id=self.keys[key].id)
        kept = [budget for budget in self.keys[key].budgets if budget.id != fresh[0].id]
        self.keys[key] = calls.key(
            self.keys[key].id, owner=self.keys[key].owner, team=self.keys[key].team, budgets=(*kept, *fresh)
        )

    def standings(self) -> list[tuple[Budget | None, Purse]]:
        found = self.runner.run(self.desk.budgets.standings(self.keys, self.desk.now))
        return [(line.hard, purse) for line, purse in found]

    @invariant()
    def nothing_is_overrun(self) -> None:
        for budget, purse in self.standings():
            if budget is None or (budget.window == "week" and budget.scope == "key"):
                continue  # soft; or made when more had been spent already
            assert purse.held >= 0
            assert purse.risk >= 0
            before = summed(self.desk.listed.events, purse.slice)
            over = max(0, (before.nano if budget.unit == "usd" else before.tokens) - budget.amount)
            if not budget.adaptive and not over:
                assert purse.spent + purse.held <= budget.amount
            if budget.adaptive:
                assert purse.spent + purse.held + purse.risk <= budget.amount * 3 // 2 or over

    @invariant()
    def what_is_spent_is_the_sum_of_the_events(self) -> None:
        for _, purse in self.standings():
            sums = summed(self.desk.listed.events, purse.slice)
            assert purse.spent == (sums.nano if purse.unit == "usd" else sums.tokens)

    def teardown(self) -> None:
        for asked, _ in self.under_way:
            asked.reservation.release()
        assert all(purse.held == purse.risk == 0 for purse in self.desk.budgets._book._purses.values())
        self.runner.close()


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True, database=None)


def test_what_ends_while_a_purse_is_opened_is_counted_once() -> None:
    async def scenario() -> tuple[int, int]:
        desk = Desk()
        plain, bounded = calls.key(), calls.key(budgets=of_key("1 USD/day"))
        desk.end(calls.call(plain), NOW, 1)
        desk.listed.pause = 5
        asking = asyncio.ensure_future(desk.ask(bounded))
        for cost in (10, 100, 1000, 10_000):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            desk.end(calls.call(plain), NOW, cost)
        (await asking).settle(100_000)
        return await desk.standing(bounded, "key:key_1:usd:day:UTC")

    assert asyncio.run(scenario()) == (111_111, 0)


def test_what_an_earlier_process_left_to_a_provider_is_held_until_its_end_is_known() -> None:
    async def scenario() -> list[tuple[int, int]]:
        desk = Desk(BudgetRules(teams={"t": of("team", "t", "1000 tokens/day")}))
        key = calls.key(team="t", budgets=of_key("0.001 USD/day"))
        budgets, of_team = ("key:key_1:usd:day:UTC", "team:t:tokens:day:UTC"), records.hold(detached=True)
        batch = msgspec.structs.replace(of_team, request_id="tk1", team="t", held_nano=900_000, held_tokens=700)
        others = msgspec.structs.replace(batch, request_id="tk2", team="u", key_id="key_2")
        desk.budgets.keep([others, batch])
        found = [await desk.standing(key, budget) for budget in budgets]
        assert (await desk.refusal(key, {"max_completion_tokens": 100})).code == "budget_held"
        later = msgspec.structs.replace(batch, request_id="tk3", held_nano=1, held_tokens=2)
        desk.budgets.keep([later])
        found += [await desk.standing(key, budget) for budget in budgets]
        assert desk.budgets.let_go("tk1")
        assert not desk.budgets.let_go("tk1")
        assert [hold.request_id for hold in desk.budgets.expired(batch.expires_at)] == ["tk2", "tk3"]
        assert not desk.budgets.expired(batch.expires_at - 1)
        desk.end(calls.call(key, request_id="tk3"), NOW, 5)
        return found + [await desk.standing(key, budget) for budget in budgets]

    assert asyncio.run(scenario()) == [(0, 900_000), (0, 700), (0, 900_001), (0, 702), (5, 0), (0, 0)]


def test_many_who_come_at_once_wait_for_one_reading() -> None:
    async def scenario() -> int:
        desk = Desk(BudgetRules(all=of("all", None, "1 USD/day")))
        desk.listed.pause = 3
        key = calls.key(budgets=of_key("1 USD/day"))
        await asyncio.gather(*(desk.ask(key, {"max_completion_tokens": 10}) for _ in range(50)))
        return desk.listed.asked

    assert asyncio.run(scenario()) == 1


def test_where_the_ledger_cannot_be_read_a_call_is_refused_and_the_next_one_tries_again() -> None:
    async def scenario() -> tuple[int, int]:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD/day"))
        desk.listed.trouble = GateError("The store cannot be used: disk I/O error.", code="store_unavailable")
        refused = await asyncio.gather(*(desk.ask(key) for _ in range(3)), return_exceptions=True)
        assert [getattr(error, "code", None) for error in refused] == ["store_unavailable"] * 3
        desk.end(calls.call(key), NOW, 7)
        desk.listed.trouble = None
        (await desk.ask(key)).settle(5)
        return await desk.standing(key, "key:key_1:usd:day:UTC")

    assert asyncio.run(scenario()) == (12, 0)


def test_a_caller_who_leaves_while_a_purse_is_opened_leaves_it_to_the_others() -> None:
    async def scenario() -> tuple[int, int]:
        desk = Desk()
        desk.listed.pause = 5
        key = calls.key(budgets=of_key("1 USD/day"))
        first = asyncio.ensure_future(desk.ask(key))
        second = asyncio.ensure_future(desk.ask(key))
        await asyncio.sleep(0)
        first.cancel()
        (await second).settle(3)
        return await desk.standing(key, "key:key_1:usd:day:UTC")

    assert asyncio.run(scenario()) == (3, 0)


@pytest.mark.row(71)
def test_a_late_end_is_spent_in_the_window_in_which_it_began() -> None:
    async def scenario() -> tuple[tuple[int, int], tuple[int, int]]:
        desk = Desk()
        key = calls.key(budgets=of_key("0.000001 USD/hour"))
        late = await desk.ask(key, {"max_completion_tokens": 100})
        desk.now += HOUR
        fresh = await desk.standing(key, "key:key_1:usd:hour:UTC")
        await desk.ask(key, {"max_completion_tokens": 100})
        late.settle(400)
        held = late.reservation.held_nano
        assert held is None
        desk.now -= HOUR
        return fresh, await desk.standing(key, "key:key_1:usd:hour:UTC")

    assert asyncio.run(scenario()) == ((0, 0), (400, 0))


@pytest.mark.row(70)
def test_a_clock_that_jumps_back_finds_the_old_purse_with_what_is_held_in_it() -> None:
    async def scenario() -> list[tuple[int, int]]:
        desk = Desk()
        key = calls.key(budgets=of_key("0.000002 USD/hour"))
        budget = "key:key_1:usd:hour:UTC"
        (await desk.ask(key, {"max_completion_tokens": 10})).settle(150)
        running = await desk.ask(key, {"max_completion_tokens": 10})
        before = await desk.standing(key, budget)
        desk.now += HOUR
        after = await desk.standing(key, budget)
        desk.now -= HOUR
        back = await desk.standing(key, budget)
        running.settle(50)
        return [before, after, back, await desk.standing(key, budget)]

    before, after, back, ended = asyncio.run(scenario())

    assert before == back
    assert before[1] > 0
    assert after == (0, 0)
    assert ended == (200, 0)


@pytest.mark.row(70)
def test_a_day_of_25_hours_is_one_window() -> None:
    async def scenario() -> list[int]:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD/day Europe/Berlin"))
        budget = "key:key_1:usd:day:Europe/Berlin"
        spent = []
        desk.now = 1_792_879_200_000  # 2026-10-25T00:00+02:00; the clocks go back at 03:00
        for hours in (0, 2, 3, 24):
            desk.now = 1_792_879_200_000 + hours * HOUR
            (await desk.ask(key, {"max_completion_tokens": 1})).settle(1)
            spent.append((await desk.standing(key, budget))[0])
        desk.now = 1_792_879_200_000 + 25 * HOUR
        spent.append((await desk.standing(key, budget))[0])
        return spent

    assert asyncio.run(scenario()) == [1, 2, 3, 4, 0]


def test_purses_of_the_past_are_forgotten_and_found_again_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollkeeper.policies.budgets.book._MANY", 10)

    async def scenario() -> tuple[int, tuple[int, int]]:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD/hour"))
        for _ in range(50):
            (await desk.ask(key, {"max_completion_tokens": 1})).settle(7)
            desk.now += HOUR
        known = len(desk.budgets._book._purses)
        desk.now = NOW
        return known, await desk.standing(key, "key:key_1:usd:hour:UTC")

    known, standing = asyncio.run(scenario())

    assert known <= 20
    assert standing == (7, 0)


def test_with_more_budgets_than_purses_are_kept_the_past_is_looked_for_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    forget = Book._forget

    def counted(book: Book) -> None:
        nonlocal looked
        looked += 1
        forget(book)

    monkeypatch.setattr(Book, "_forget", counted)
    monkeypatch.setattr("tollkeeper.policies.budgets.book._MANY", 100)

    async def scenario() -> None:
        desk = Desk()
        keys = [calls.key(f"key_{n}", budgets=of_key("1 USD/day", key_id=f"key_{n}")) for n in range(1000)]
        for _ in range(5):
            await desk.budgets.standings(keys, desk.now)
            desk.now += 24 * HOUR

    asyncio.run(scenario())

    assert 3 < looked < 20
