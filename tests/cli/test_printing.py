"""What a terminal is shown of what others wrote."""

from pathlib import Path

import pytest

from kit.records import write
from kit.terminal import tollkeeper
from tollkeeper.cli.printing import line, plain


def test_a_terminal_is_shown_nothing_that_it_would_act_on() -> None:
    assert plain("a\tb\nc\x1b[2J\u202e") == "a\tb\nc[2J"
    assert line("one\ntwo\r\x9b1A") == "one two1A"
    assert line("a\u2028b\u2029c\x85d\U000e0041\u061c") == "abcd"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("keys", "list"), "There is no key: tollkeeper keys create --name NAME makes one."),
        (("events",), "There are no such events."),
        (("routes", "history"), "Nothing was ever changed."),
        (("routes", "list"), "Nothing is configured: see tollkeeper routes apply, or the config's [routes]."),
    ],
)
def test_where_there_is_nothing_to_list_that_is_said_beside_it(
    command: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    write(tmp_path / "home", [])

    done = tollkeeper(*command, "--home", str(tmp_path / "home"))

    assert (done.code, done.out, done.error) == (0, "", f"{said}\n")
