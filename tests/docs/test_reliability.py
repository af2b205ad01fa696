"""The page on reliability keeps its word: every fault on it is shown by the tests that it names, and no other."""

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
LISTED = {
    int(row): (re.findall(r"`([^`]+)`", shown), result)
    for row, shown, result in re.findall(r"^\| (\d+) \|.*\| ([^|]*) \| ([^|]*) \|$", PAGE, re.MULTILINE)
    if shown.startswith("`")
}
NOT_HERE = {int(row): why for row, why in re.findall(r"^\| (\d+) \| [^|]* \| ([^|]*) \|$", PAGE, re.MULTILINE)}


@functools.cache
def _marked() -> dict[int, set[str]]:
    """Files that have tests marked with each row, as `pytest.mark.row(13)` stands in them."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        if "mark.row" not in (text := path.read_text("utf-8")):
            continue
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "row"):
                continue
            if ast.unparse(node.func) == "pytest.mark.row":
                for number in node.args:
                    assert isinstance(number, ast.Constant), f"{path}: a row's number must be written out"
                    found[int(number.value)].add(str(path.relative_to(TESTS)))
    return found


@pytest.mark.parametrize("row", sorted(LISTED))
def test_a_row_is_shown_by_the_tests_that_it_names(row: int) -> None:
    named, result = LISTED[row]

    assert result.startswith("holds")
    assert named
    assert set(named) <= _marked().get(row, set())


def test_every_marked_row_is_on_the_page() -> None:
    assert sorted(set(_marked()) - set(LISTED)) == []


def test_what_is_not_here_has_a_reason_and_is_nowhere_else() -> None:
    assert not set(NOT_HERE) & (set(LISTED) | set(_marked()))
    assert all(len(why) > 20 for why in NOT_HERE.values())


def test_no_row_is_forgotten_or_listed_twice() -> None:
    rows = [int(row) for row in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]

    assert sorted(rows) == sorted(set(LISTED) | set(NOT_HERE))
    assert {*range(1, 42), *range(45, 51), 59, *range(61, 67), 68, *range(70, 93), *range(96, 101)} <= set(rows)
