"""Money is exact: amounts go to text and back, and every token is charged once, at one price."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.money import Price, nano_from_usd, split, usd_from_nano
from tollkeeper.core.usage import NOTHING, Usage

COUNTS = st.integers(0, 10**7)
PRICES = st.integers(0, 10**12)
KINDS = ("cached_input", "cache_write", "cache_write_1h", "audio_input", "cached_audio_input", "audio_output")
OPTIONAL = dict.fromkeys(KINDS, st.none() | PRICES)
USAGES = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, COUNTS))


@given(st.integers(-(10**24), 10**24))
@examples(200)
def test_an_amount_survives_its_decimal_spelling(nano: int) -> None:
    written = usd_from_nano(nano)

    assert nano_from_usd(Decimal(written)) == nano
    assert "e" not in written.lower()
    assert not written.startswith("-0") or nano != 0


@pytest.mark.parametrize(
    ("nano", "expected"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (1_500_000, "0.0015"),
        (10**9, "1"),
        (-(10**9), "-1"),
        (-1, "-0.000000001"),
        (12_345_678_900, "12.3456789"),
        (10**20, "100000000000"),
    ],
)
def test_amounts_are_spelled_without_exponent_or_idle_zeros(nano: int, expected: str) -> None:
    assert expected == usd_from_nano(nano)


@pytest.mark.parametrize(
    ("usd", "expected"),
    [
        ("0.0000000004", 0),
        ("0.0000000005", 1),
        ("0.00000000149", 1),
        ("-0.0000000005", -1),
        ("1e-9", 1),
        ("2.5", 2_500_000_000),
    ],
)
def test_half_a_nano_dollar_is_rounded_away_from_zero(usd: str, expected: int) -> None:
    assert expected == nano_from_usd(Decimal(usd))


@given(USAGES)
@examples(300)
def test_a_usage_taken_apart_adds_up_to_itself(usage: Usage) -> None:
    parts = split(usage)

    assert sum(parts) - parts.spoken == usage.input_tokens
    assert min(parts) >= 0
    assert parts.spoken <= usage.output_tokens
    assert parts.cached + parts.cached_audio <= usage.cached_input_tokens
    assert parts.audio + parts.cached_audio <= usage.audio_input_tokens
    assert parts.written + parts.written_1h <= usage.cache_write_tokens
    assert parts.written_1h <= usage.cache_write_1h_tokens


@given(USAGES, PRICES)
@examples(150)
def test_at_one_price_for_all_kinds_the_kinds_make_no_difference(usage: Usage, each: int) -> None:
    every = Price(version="v", input=each, output=each, **dict.fromkeys(KINDS, each))
    tokens = usage.input_tokens + usage.output_tokens

    assert every.cost(usage) == Price(version="v", input=each, output=each).cost(usage)
    assert every.cost(usage) == (tokens * each + 500_000) // 1_000_000


@given(
    USAGES,
    st.builds(Price, version=st.just("v"), input=PRICES, output=PRICES, **dict.fromkeys(KINDS, st.none() | PRICES)),
)
@examples(300)
def test_every_token_is_charged_once_by_the_most_particular_price_there_is(usage: Usage, price: Price) -> None:
    def first(*prices: int | None) -> int:
        return next(found for found in prices if found is not None)

    parts = split(usage)
    exact = (
        parts.plain * price.input
        + parts.cached * first(price.cached_input, price.input)
        + parts.written * first(price.cache_write, price.input)
        + parts.written_1h * first(price.cache_write_1h, price.cache_write, price.input)
        + parts.audio * first(price.audio_input, price.input)
        + parts.cached_audio * first(price.cached_audio_input, price.cached_input, price.audio_input, price.input)
        + parts.spoken * first(price.audio_output, price.output)
        + (usage.output_tokens - parts.spoken) * price.output
    )

    assert abs(Fraction(price.cost(usage)) - Fraction(exact, 1_000_000)) <= Fraction(1, 2)


def test_kinds_are_taken_out_of_the_input_before_the_input_price_applies() -> None:
    price = Price(
        version="v",
        input=10_000_000,
        output=30_000_000,
        cached_input=1_000_000,
        cache_write=12_500_000,
        cache_write_1h=20_000_000,
        audio_input=100_000_000,
        cached_audio_input=20_000_000,
        audio_output=200_000_000,
    )
    usage = Usage(
        input_tokens=1000,
        cached_input_tokens=300,
        cache_write_tokens=100,
        cache_write_1h_tokens=40,
        audio_input_tokens=200,
        cached_audio_input_tokens=50,
        output_tokens=500,
        reasoning_tokens=400,
        audio_output_tokens=100,
    )
    plain, cached, written, hour, audio, both = 1000 - 250 - 100 - 150 - 50, 250, 60, 40, 150, 50

    written_at = written * 12.5 + hour * 20
    assert price.cost(usage) == plain * 10 + cached * 1 + written_at + audio * 100 + both * 20 + 100 * 200 + 400 * 30


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=10, cached_input_tokens=90),
        Usage(input_tokens=10, cached_input_tokens=8, cache_write_tokens=8),
        Usage(input_tokens=10, cache_write_tokens=4, cache_write_1h_tokens=90),
        Usage(input_tokens=10, cached_input_tokens=8, audio_input_tokens=9),
        Usage(input_tokens=10, audio_input_tokens=90, cached_audio_input_tokens=90),
    ],
)
def test_parts_greater_than_the_whole_are_not_charged_beyond_it(usage: Usage) -> None:
    price = Price(version="v", input=10**6, output=0, **dict.fromkeys(KINDS, 10**6))

    assert price.cost(usage) == 10


def test_a_search_is_charged_by_itself() -> None:
    assert Price(version="v", web_search=10_000_000).cost(Usage(web_searches=3)) == 30_000_000
    assert Price(version="v", input=1).cost(Usage(web_searches=3)) == 0


def test_a_price_for_each_call_is_charged_even_for_nothing() -> None:
    assert Price(version="v", request=5_000_000).cost(NOTHING) == 5_000_000
    assert Price(version="v", input=1).cost(NOTHING) == 0


@pytest.mark.parametrize(("tokens", "expected"), [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)])
def test_a_cost_is_rounded_half_up_once(tokens: int, expected: int) -> None:
    assert expected == Price(version="v", input=1).cost(Usage(input_tokens=tokens))
