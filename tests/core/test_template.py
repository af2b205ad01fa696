"""Templates: what is filled, what is missing, and that nothing else can be reached."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.core.template import Template


def test_names_are_filled_with_values_of_any_kind() -> None:
    template = Template("{{ topic }} in {{ count }} words, {{ tags | join(', ') }}")
    assert template.fields == {"topic", "count", "tags"}
    assert template.fill({"topic": "Züge", "count": 3, "tags": ["a", "b"]}) == "Züge in 3 words, a, b"


def test_markup_in_values_stays_what_it_is() -> None:
    assert Template("{{ x }}").fill({"x": "<b>&{{ y }}"}) == "<b>&{{ y }}"


def test_a_missing_name_is_named() -> None:
    with pytest.raises(CallerError, match="'topic' is undefined"):
        Template("About {{ topic }}").fill({})


def test_a_broken_template_names_its_line() -> None:
    with pytest.raises(CallerError, match="line 2"):
        Template("fine\n{{ oops ")


@pytest.mark.parametrize(
    "attack",
    [
        "{{ x.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ x.append(1) }}",
        "{{ range(10 ** 9) | list }}",
        "{% include '/etc/passwd' %}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_a_template_reaches_nothing_but_its_values(attack: str) -> None:
    with pytest.raises(CallerError):
        Template(attack).fill({"x": [1]})


def test_what_a_value_lacks_is_an_error_of_the_row_not_of_the_gate() -> None:
    with pytest.raises(CallerError, match="cannot be filled"):
        Template("{{ x.y.z }}").fill({"x": {}})
