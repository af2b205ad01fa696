"""Which budgets hold for whom: widest first, a key's own in place of each key's."""

from kit import calls
from kit.budgets import of, of_key
from tollkeeper.core.budget import parse_all, shown
from tollkeeper.policies.budgets.rules import BudgetRules, Line, every_line, lines_of

RULES = BudgetRules(
    all=of("all", None, "100 USD/month", "90 USD/month soft"),
    each_key=parse_all(["5 USD/month", "1 USD/day", "4 USD/month soft"], "key", ""),
    teams={"t": of("team", "t", "50 USD/month")},
    owners={"o": of("owner", "o", "20 USD/month")},
)


def _texts(lines: list[Line] | tuple[Line, ...]) -> list[tuple[str, str | None, str | None]]:
    return [(line.any.scope, line.hard and shown(line.hard), line.soft and shown(line.soft)) for line in lines]


def test_a_call_falls_under_everybodys_its_teams_its_owners_and_its_keys() -> None:
    key = calls.key(team="t", owner="o", budgets=of_key("7 USD/month", "9 tokens"))

    assert _texts(lines_of(key, RULES)) == [
        ("all", "100 USD/month", "90 USD/month soft"),
        ("team", "50 USD/month", None),
        ("owner", "20 USD/month", None),
        ("key", "7 USD/month", "4 USD/month soft"),
        ("key", "1 USD/day", None),
        ("key", "9 tokens", None),
    ]


def test_nobody_falls_under_what_is_another_ones() -> None:
    assert [line[0] for line in _texts(lines_of(calls.key(team="x"), RULES))] == ["all", "key", "key"]
    assert lines_of(calls.key(), BudgetRules()) == ()


def test_each_line_is_listed_once() -> None:
    keys = [calls.key("key_1", team="t"), calls.key("key_2", team="t")]

    ids = [line.id for line in every_line(RULES, keys)]

    assert ids == [
        "all:usd:month:UTC",
        "team:t:usd:month:UTC",
        "owner:o:usd:month:UTC",
        "key:key_1:usd:month:UTC",
        "key:key_1:usd:day:UTC",
        "key:key_2:usd:month:UTC",
        "key:key_2:usd:day:UTC",
    ]
