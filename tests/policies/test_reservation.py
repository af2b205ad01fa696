"""A reservation: in several budgets it grows in all or in none, and is given back once."""

import asyncio

from kit import calls
from kit.budgets import Desk, of, of_key
from tollkeeper.core.usage import Usage
from tollkeeper.policies.budgets import BudgetRules

ALL, KEY = "all:tokens:total:UTC", "key:key_1:usd:day:UTC"


def test_it_grows_in_all_budgets_or_in_none() -> None:
    async def scenario() -> None:
        desk = Desk(BudgetRules(all=of("all", None, "900 tokens")))
        key = calls.key(budgets=of_key("1 USD/day"))
        asked = await desk.ask(key, {"max_completion_tokens": 100})
        before = [await desk.standing(key, each) for each in (ALL, KEY)]

        assert not asked.reservation.grow(700)
        assert [await desk.standing(key, each) for each in (ALL, KEY)] == before
        assert "all keys together" in str(asked.reservation.stopped())

        assert asked.reservation.grow(300)
        after = [await desk.standing(key, each) for each in (ALL, KEY)]
        assert after == [(0, before[0][1] + 200), (0, before[1][1] + 400)]

    asyncio.run(scenario())


def test_whether_settled_or_released_it_is_given_back_once() -> None:
    async def scenario() -> None:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD/day"))
        stays = await desk.ask(key, {"max_completion_tokens": 1})
        held = stays.reservation.held_nano
        for ends in ("settle", "release"):
            asked = await desk.ask(key, {"max_completion_tokens": 100})
            for _ in range(2):
                if ends == "settle":
                    asked.reservation.settle(0, Usage(), None, True)
                asked.reservation.release()
        assert await desk.standing(key, KEY) == (0, held)

    asyncio.run(scenario())
