"""Names of tools that a provider would not take find their way back."""

from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.dialects.tool_names import ToolNames


def test_a_good_name_stays() -> None:
    names = ToolNames(["get_weather-2"], 64)

    assert names.told("get_weather-2") == "get_weather-2"
    assert names.renamed == {}


@examples(200)
@given(st.lists(st.text(min_size=1, max_size=90), unique=True, max_size=8))
def test_every_name_fits_is_unlike_the_others_and_is_found_again(given_names: list[str]) -> None:
    names = ToolNames(given_names, 64)
    told = [names.told(name) for name in given_names]

    assert len(set(told)) == len(given_names)
    assert all(len(name) <= 64 and name.replace("_", "a").replace("-", "a").isalnum() for name in told)
    assert [names.renamed.get(name, name) for name in told] == given_names
