"""A receipt is the whole truth: its lines add up to the cost, and its note is all that is needed to make it again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core import receipt
from tollkeeper.core.money import Price
from tollkeeper.core.usage import NOTHING, Usage

COUNTS = st.integers(0, 10**7)
UNITS = st.integers(0, 10**12)
KINDS = ("cached_input", "cache_write", "cache_write_1h", "audio_input", "cached_audio_input", "audio_output")
PRICES = st.builds(
    Price,
    version=st.just("config"),
    input=UNITS,
    output=UNITS,
    request=UNITS,
    web_search=UNITS,
    **dict.fromkeys(KINDS, st.none() | UNITS),
)
USAGES = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, COUNTS))


@given(PRICES, USAGES)
@examples(500)
def test_the_lines_add_up_to_the_cost(price: Price, usage: Usage) -> None:
    lines = receipt.lines(price, usage)

    assert receipt.rounded(lines) == price.cost(usage)
    assert all(line.amount_femto == line.tokens * line.unit_nano for line in lines if line.kind not in receipt.EACH)


@given(PRICES)
@examples(500)
def test_a_note_gives_the_price_back(price: Price) -> None:
    read = msgspec.json.decode(receipt.note(price))

    assert receipt.noted(read, price.version) == price


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (Price(version="v", input=150_000_000, output=600_000_000), '["price",150000000,600000000]'),
        (Price(version="v", input=5, cached_input=0), '["price",5,0,0]'),
        (Price(version="v", input=5), '["price",5]'),
        (Price(version="v"), '["price"]'),
        (Price(version="v", request=7), '["price",0,0,null,null,null,null,null,7]'),
        (Price(version="v", input=1, cache_write_1h=2), '["price",1,0,null,null,null,null,null,0,2]'),
        (Price(version="v", web_search=2), '["price",0,0,null,null,null,null,null,0,null,2]'),
        (None, '["price",null]'),
    ],
)
def test_a_note_has_nothing_idle(price: Price | None, expected: str) -> None:
    assert receipt.note(price) == expected


def test_a_kind_without_a_price_says_as_what_it_was_charged() -> None:
    usage = Usage(
        input_tokens=10,
        cached_input_tokens=4,
        cache_write_tokens=3,
        cache_write_1h_tokens=2,
        output_tokens=2,
        audio_output_tokens=2,
    )

    lines = receipt.lines(Price(version="v", input=3, output=5), usage)

    assert [(line.kind, line.tokens, line.priced_as) for line in lines] == [
        ("input", 3, None),
        ("cached_input", 4, "input"),
        ("cache_write", 1, "input"),
        ("cache_write_1h", 2, "input"),
        ("audio_output", 2, "output"),
    ]


def test_what_cannot_be_told_is_not_guessed() -> None:
    assert receipt.noted(["price", None], "v") is None
    assert receipt.lines(Price(version="v", input=3), NOTHING) == []


@pytest.mark.parametrize(
    "note", [["price", "1"], ["price", 1.5], ["price", *[1] * 11], ["cost", 1], ["price", None, 1]]
)
def test_a_note_that_is_none_is_refused(note: list[object]) -> None:
    with pytest.raises(ValueError, match="not a note"):
        receipt.noted(note, "v")


@pytest.mark.parametrize(
    ("femto", "expected"), [(0, "0"), (1, "0.000000000000001"), (10**15, "1"), (-1_500_000, "-0.0000000015")]
)
def test_femto_dollars_are_spelled_exactly(femto: int, expected: str) -> None:
    assert receipt.usd_from_femto(femto) == expected
