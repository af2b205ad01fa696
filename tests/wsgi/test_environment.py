"""Files of NAME=value lines are read as systemd reads them, and a bad line is named without being shown."""

from pathlib import Path

import pytest

from tollkeeper.core.errors import ConfigError
from tollkeeper.wsgi import environment


def test_comments_and_quotes_and_blanks_are_no_part_of_a_value(tmp_path: Path) -> None:
    file = tmp_path / "keys.env"
    file.write_text("# ours\n\nA=sk-1\n B = 'two words' \n; old\nC=\"x=y\"\nD=\n", "utf-8")

    assert environment.read(file) == {"A": "sk-1", "B": "two words", "C": "x=y", "D": ""}


def test_a_line_that_says_nothing_is_named_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "keys.env"
    file.write_text("A=1\nsk-secret\nexport B=2\n", "utf-8")

    with pytest.raises(ConfigError) as raised:
        environment.read(file)

    assert raised.value.problems == [f"{file}:2: expected NAME=value.", f"{file}:3: expected NAME=value."]


def test_a_file_that_is_not_there_is_a_problem_of_the_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        environment.read(tmp_path / "keys.env")
