"""Ceilings: what is worked out forwards and backwards fits together, and no usage within it costs more."""

from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.money import Price
from tollkeeper.core.usage import Usage
from tollkeeper.policies.budgets.ceiling import NO_END, Ceiling

RATES = st.integers(0, 200_000_000_000)
SOMETIMES = st.one_of(st.none(), RATES)
PRICES = st.builds(
    Price,
    version=st.just("1"),
    input=RATES,
    output=RATES,
    cached_input=SOMETIMES,
    cache_write=SOMETIMES,
    cache_write_1h=SOMETIMES,
    audio_input=SOMETIMES,
    cached_audio_input=SOMETIMES,
    audio_output=SOMETIMES,
    request=st.integers(0, 10**9),
)
TOKENS = st.integers(0, 10**7)
USAGES = st.builds(Usage, **{name: TOKENS for name in Usage.__struct_fields__ if name.endswith("_tokens")})


@given(price=PRICES, room=st.integers(0, 10**12), input_tokens=TOKENS)
@examples(300)
def test_what_room_pays_for_is_the_most_that_fits(price: Price, room: int, input_tokens: int) -> None:
    ceiling = Ceiling(input_tokens, price)

    within = ceiling.output_within("usd", room)

    if within < 0:
        assert ceiling.of("usd", 0) > room
    elif within == NO_END:
        assert ceiling.of("usd", 10**9) == ceiling.of("usd", 0) <= room
    else:
        assert ceiling.of("usd", within) <= room < ceiling.of("usd", within + 1)


@given(price=PRICES, usage=USAGES)
@examples(300)
def test_no_usage_within_its_tokens_costs_more(price: Price, usage: Usage) -> None:
    assert price.cost(usage) <= Ceiling(usage.input_tokens, price).of("usd", usage.output_tokens)


def test_tokens_need_no_price() -> None:
    ceiling = Ceiling(100, None)

    assert ceiling.of("tokens", 7) == 107
    assert ceiling.output_within("tokens", 150) == 50
    assert ceiling.output_within("tokens", 99) == -1
