"""Operators' patterns: they match as re's do, and none takes long, whatever it is compared with."""

import re

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.core.patterns import BadPattern, PatternBounds, Patterns, compiled

SLOW = r"(a|aa)+$"


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("pattern", "flags", "text"),
    [
        (r"^/api/(\w+)$", 0, "/api/speakers"),
        (r"^/api/(\w+)$", 0, "/api/speakers/and/more/of/them"),
        (r"ROOT\.exe", re.IGNORECASE, "/x/root.exe?and=more&than=twenty"),
        (r"^b$", re.MULTILINE, "a\nb\nc and something behind it"),
        (r"(?<!un)safe(?=!)", 0, "this is safe! but is it unsafe!"),
    ],
)
def test_a_pattern_finds_what_re_finds(pattern: str, flags: int, text: str) -> None:
    mine, theirs = compiled(pattern, flags).search(text), re.compile(pattern, flags).search(text)
    assert (mine and mine.groups(), mine and mine.span()) == (theirs and theirs.groups(), theirs and theirs.span())


def test_texts_are_replaced_as_re_does() -> None:
    pattern = compiled(rb"(\d+)")
    assert pattern.sub(lambda match: b"<" + match[1] + b">", b"1 and 22 and 333") == b"<1> and <22> and <333>"
    assert pattern.sub(lambda match: b"n", b"1 and 22 and 333", count=1) == b"n and 22 and 333"


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", "(?P<x"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(SLOW, "a" * 60 + "!"), (r".*a.*b.*c.*d.*e$", "abcd" * 20_000), (r"^(\w|\w\w)*$", "a" * 200 + "!")],
)
def test_a_comparison_that_would_take_too_long_is_given_up(pattern: str, text: str) -> None:
    with pytest.raises(CallerError) as raised:
        compiled(pattern).search(text)
    assert (raised.value.status, raised.value.code) == (400, "pattern_undecided")
    with pytest.raises(CallerError):
        compiled(pattern).sub(lambda match: "", text)


def test_a_pattern_that_took_too_long_rests_from_long_texts_and_is_tried_again_later() -> None:
    clock = Clock()
    pattern = Patterns(PatternBounds(rest=3), clock).compiled(SLOW)
    with pytest.raises(CallerError):
        pattern.search("a" * 60 + "!")
    with pytest.raises(CallerError):
        pattern.search("b" * 59)  # would be decided at once
    assert pattern.search("b" * 25) is None
    assert pattern.search("aaa") is not None
    clock.now += 3
    assert pattern.search("b" * 59) is None
