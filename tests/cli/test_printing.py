"""What a terminal is shown of what others wrote."""

from tollkeeper.cli.printing import line, plain


def test_a_terminal_is_shown_nothing_that_it_would_act_on() -> None:
    assert plain("a\tb\nc\x1b[2J\u202e") == "a\tb\nc[2J"
    assert line("one\ntwo\r\x9b1A") == "one two1A"
    assert line("a\u2028b\u2029c\x85d\U000e0041\u061c") == "abcd"
