"""Which purses a record falls into by the rules, and what a caller is told for whom there is no room."""

from msgspec.structs import replace

from kit.records import hold
from tollkeeper.core.budget import FOREVER, parse, parse_all
from tollkeeper.core.keys import Key
from tollkeeper.policies.budgets import BudgetRules
from tollkeeper.serverless.purses import Purses, refused
from tollkeeper.stores.dynamodb.purses import PurseOf

KEY = Key(
    id="key_1",
    name="ada",
    shown="tk-",
    digest=b"",
    created_at=0,
    team="red",
    budgets=parse_all(["5 USD/day", "100 tokens soft"], "key", "key_1"),
)
RULES = BudgetRules(teams={"red": parse_all(["7 USD"], "team", "red")})
HOLD = hold(started_at=86_400_000 + 5, team="red", held_nano=400, held_tokens=40)


def test_a_record_falls_into_the_window_in_which_it_began_of_every_budget_that_holds_for_it() -> None:
    found = Purses(lambda: RULES, {"key_1": KEY}.get).of(HOLD)

    assert [(each.pk, each.start, each.end, each.held(HOLD)) for each in found] == [
        ("purse#team:red:usd:total:UTC", 0, FOREVER, 400),
        ("purse#key:key_1:usd:day:UTC", 86_400_000, 2 * 86_400_000, 400),
        ("purse#key:key_1:tokens:total:UTC", 0, FOREVER, 40),
    ]
    assert [each.budget.soft for each in found] == [False, False, True]


def test_a_key_that_is_gone_has_no_purses() -> None:
    assert Purses(lambda: RULES, {"key_1": KEY}.get).of(replace(HOLD, key_id="key_2")) == ()


def test_a_caller_is_told_to_come_again_only_where_that_can_help() -> None:
    purse = PurseOf(parse("0.000001 USD", "key", "key_1"), 0, FOREVER)

    held, spent = refused(purse, 900, 100, 400), refused(purse, 900, 900, 400)

    assert (held.code, held.retryable) == ("budget_held", True)
    assert (spent.code, spent.retryable) == ("budget_exceeded", False)
    assert "0.0000001 USD spent" in held.message
