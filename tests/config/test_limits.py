"""[limits] in the config: read into rules, mistakes named with their places."""

from pathlib import Path

import pytest

from tollkeeper import config
from tollkeeper.core.errors import ConfigError
from tollkeeper.core.rate import shown
from tollkeeper.policies.limits import LimitRules

GOOD = """
[limits]
all = ["3000 requests/minute"]
each_key = ["60 requests/minute burst 5", "10 concurrent"]
wait = 2.5
queue = 7
[limits.teams]
research = ["1000000 tokens/hour"]
[limits.owners]
"ada@example.org" = ["200000 tokens/hour"]
[limits.models]
"gpt-4o" = ["30000 tokens/minute", "20 concurrent"]
[retry]
deadline = 30
"""

BAD = """
[limits]
all = ["3000 calls/minute"]
each_key = ["60 requests/minute", "70 requests/minute"]
[limits.teams]
research = ["lots"]
[limits.models]
"gpt-4o" = ["0 tokens/minute"]
"""


def load(folder: Path, text: str) -> LimitRules:
    path = folder / "tollkeeper.toml"
    path.write_text(text, "utf-8")
    return config.load(path, {}).limits


def test_limits_are_read_with_whom_they_hold_for(tmp_path: Path) -> None:
    rules = load(tmp_path, GOOD)

    assert [(limit.id, shown(limit)) for limit in rules.all] == [("all:requests:60", "3000 requests/minute")]
    assert [shown(limit) for limit in rules.each_key] == ["60 requests/minute burst 5", "10 concurrent"]
    assert [limit.id for limit in rules.teams["research"]] == ["team:research:tokens:3600"]
    assert [limit.id for limit in rules.owners["ada@example.org"]] == ["owner:ada@example.org:tokens:3600"]
    assert [limit.id for limit in rules.models["gpt-4o"]] == ["model:gpt-4o:tokens:60", "model:gpt-4o:concurrency"]
    assert (rules.wait, rules.queue, rules.deadline) == (2.5, 7, 30)


def test_without_limits_there_are_none(tmp_path: Path) -> None:
    assert load(tmp_path, "") == LimitRules()


def test_every_mistake_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, BAD)

    said = [problem.removeprefix(str(tmp_path / "tollkeeper.toml:")) for problem in refused.value.problems]
    assert said[0].startswith("3: limits.all: '3000 calls/minute': 'calls' cannot be limited: expected")
    assert (
        said[1] == "4: limits.each_key: '60 requests/minute' and '70 requests/minute' limit the same: keep one of them"
    )
    assert said[2].startswith("6: limits.teams.research: 'lots' is no limit: expected")
    assert said[3].startswith("8: limits.models.gpt-4o: '0 tokens/minute': a limit lies between 1 and")
    assert len(said) == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[limits]\nwait = -1", "limits.wait: expected"),
        ("[limits]\nwait = inf", "limits.wait: expected a finite number"),
        ("[limits]\nqueue = -1", "limits.queue: expected"),
        ("[limits]\nall = '60 requests/minute'", "limits.all: expected `array`"),
        ("[limits.teams]\nresearch = '60 requests/minute'", "limits.teams"),
        ("[limits]\neverybody = []", "limits.everybody: there is no such field here"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, text)
