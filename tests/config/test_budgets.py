"""[budgets] in a config: read with all else, each mistake named with its line."""

from pathlib import Path

import pytest

from tollkeeper import config
from tollkeeper.core.budget import shown
from tollkeeper.core.errors import ConfigError

GOOD = """
[budgets]
all = ["100 USD/month"]
each_key = ["5 USD/month", "4 USD/month soft"]
default_output = 4096
[budgets.teams]
"a b" = ["1 USD/day Europe/Berlin"]
[budgets.owners]
ada = ["9 tokens"]
"""


def test_budgets_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(GOOD, "utf-8")

    rules = config.load(path, {}).budgets

    assert [shown(each) for each in rules.all] == ["100 USD/month"]
    assert [(each.of, shown(each)) for each in rules.each_key] == [("", "5 USD/month"), ("", "4 USD/month soft")]
    assert [(each.scope, each.of, shown(each)) for each in rules.teams["a b"]] == [
        ("team", "a b", "1 USD/day Europe/Berlin")
    ]
    assert [(each.scope, each.of) for each in rules.owners["ada"]] == [("owner", "ada")]
    assert rules.options.default_output == 4096
    assert config.budget_rules(path) == (rules, path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[budgets]\nall = ["5 EUR/month"]\n', "2: budgets.all: '5 EUR/month': 'EUR' is no unit"),
        ('[budgets]\neach_key = ["5 USD/month Mars/Olympus"]\n', "2: budgets.each_key: '5 USD/month Mars/Olympus'"),
        ('[budgets.teams]\n"a b" = ["x"]\n', "2: budgets.teams.\"a b\": 'x' is no budget"),
        ('[budgets]\nall = ["1 USD/day", "2 USD/day"]\n', "'1 USD/day' and '2 USD/day' bound the same"),
        ("[budgets]\ndefault_output = 15\n", "budgets.default_output: expected `int` >= 16"),
        ("[budgets]\nevery = []\n", "budgets.every: there is no such field here"),
    ],
)
def test_what_is_no_budget_is_named_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(text, "utf-8")

    with pytest.raises(ConfigError) as refused:
        config.load(path, {})
    with pytest.raises(ConfigError):
        config.budget_rules(path)

    assert problem in str(refused.value)
