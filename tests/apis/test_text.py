"""Answer templates: filled whole, or from both sides around a text that is still to come."""

import pytest

from tollkeeper.apis.text import AnswerTemplate, piece, text_of
from tollkeeper.core.errors import CallerError, TollkeeperError

VALUES = {"input": {"topic": "cats"}, "model": "m"}


@pytest.mark.parametrize(
    ("source", "before", "after"),
    [
        ("Answer: {{ text }}", "Answer: ", ""),
        ("{{text}}", "", ""),
        ("<{{- text -}}>\n", "<", ">\n"),
        ("{{ input.topic }}: {{ text }} ({{ model }})", "cats: ", " (m)"),
    ],
)
def test_what_stands_around_the_text_is_known_before_it(source: str, before: str, after: str) -> None:
    template = AnswerTemplate(source)

    assert template.splits
    assert (template.before(VALUES), template.after(VALUES)) == (before, after)
    assert template.fill("T", VALUES) == f"{before}T{after}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ text | upper }}",
        "{{ text }}{{ text }}",
        "{% if 1 %}{{ text }}{% endif %}",
        "none",
        "{{ text }}{{ text|length }}",
    ],
)
def test_a_template_that_needs_the_whole_text_does_not_split(source: str) -> None:
    assert not AnswerTemplate(source).splits


def test_braces_in_the_text_are_not_filled() -> None:
    assert AnswerTemplate("{{ input.topic }} {{ text }}").fill("{{ model }}", VALUES) == "cats {{ model }}"


def test_a_bad_template_is_refused_and_a_missing_field_is_the_gates_error() -> None:
    with pytest.raises(CallerError, match="line 1"):
        AnswerTemplate("{{ text")
    with pytest.raises(TollkeeperError) as caught:
        AnswerTemplate("{{ text | upper }}{{ input.x }}").fill("T", VALUES)
    assert (caught.value.status, caught.value.code) == (500, "template_failed")


def test_the_sandbox_lets_nothing_out() -> None:
    with pytest.raises(TollkeeperError):
        AnswerTemplate("{{ text.__class__.__mro__ }}").fill("T", VALUES)


def test_pieces_join_to_the_text_though_a_character_was_cut_in_two() -> None:
    assert text_of([piece('a"b'), b'"\\ud83d"', b'"\\ude00"']) == 'a"b\U0001f600'
    assert text_of([]) == ""
