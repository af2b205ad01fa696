"""Ids of tool calls fit Anthropic's alphabet and find their way back."""

from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.dialects.anthropic_messages import ids


@examples(200)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_every_id_fits_and_comes_back(name: str) -> None:
    told = ids.told(name)

    assert all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in told)
    assert ids.original(told) == name


def test_good_ids_stay() -> None:
    assert ids.told("toolu_01A-b") == "toolu_01A-b"
    assert ids.original("toolu_tk_%%%") == "toolu_tk_%%%"
