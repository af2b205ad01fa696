"""Our integer prices say what genai-prices says, to half a nano-dollar, for every model it knows and every recording."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo

from kit.recordings import recorded
from tollkeeper.core.account import Account, Target
from tollkeeper.core.money import NANO, Price
from tollkeeper.core.usage import Usage
from tollkeeper.dialects.openai_chunks import ChunkReader
from tollkeeper.dialects.openai_responses import ResponsesReader
from tollkeeper.metering.prices import OddPrice, Prices
from tollkeeper.providers import PROVIDERS
from tollkeeper.wire.sse import EventScanner

WHEN = datetime(2026, 11, 20, 12, tzinfo=UTC)
WHEN_MS = int(WHEN.timestamp() * 1000)
PRICES = Prices()
HALF = Decimal("0.5")
FLAVORS = {"openai": ("chat", "responses"), "groq": ("default",), "openrouter": ("chat",)}


def target(provider: str, model: str | None = None) -> Target:
    return Target(Account(name=provider, provider=PROVIDERS[provider]), model)


def models() -> Iterator[tuple[str, ModelInfo]]:
    for provider in get_snapshot().providers:
        for model in provider.models:
            yield provider.id, model


def usage_of(chance: random.Random) -> Usage:
    """A usage whose parts fit into it."""
    most = chance.choice((10, 5_000, 400_000))
    plain, cached, written, hour, audio, both, spoken, thought, said = (chance.randrange(most) for _ in range(9))
    return Usage(
        input_tokens=plain + cached + written + hour + audio + both,
        cached_input_tokens=cached + both,
        cache_write_tokens=written + hour,
        cache_write_1h_tokens=hour,
        audio_input_tokens=audio + both,
        cached_audio_input_tokens=both,
        output_tokens=spoken + thought + said,
        reasoning_tokens=thought,
        audio_output_tokens=spoken,
        web_searches=chance.randrange(4),
    )


def library_usage(usage: Usage) -> genai_prices.Usage:
    return genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.audio_input_tokens,
        cache_audio_read_tokens=usage.cached_audio_input_tokens,
        output_tokens=usage.output_tokens,
        output_audio_tokens=usage.audio_output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        web_searches=usage.web_searches,
    )


def price_of(model: ModelInfo) -> Price | None:
    return PRICES._integers(model, model.get_prices(WHEN), WHEN, None)


def test_every_model_that_genai_prices_knows_costs_what_it_says() -> None:
    chance = random.Random(7)
    simple = 0
    for provider, model in models():
        price = price_of(model)
        if price is None:
            continue
        simple += type(price) is Price
        for _ in range(2):
            usage = usage_of(chance)
            exact = model.get_prices(WHEN).calc_price(library_usage(usage))["total_price"] * NANO

            assert abs(price.cost(usage) - exact) <= HALF, (provider, model.id, usage)

    assert simple > 1500


def test_a_model_without_a_price_for_tokens_has_none_rather_than_zero() -> None:
    without = [(provider, model.id) for provider, model in models() if price_of(model) is None]

    assert ("openai", "whisper-1") in without
    assert ("openai", "tts-1") in without
    for _, model in models():
        if price_of(model) is None:
            assert not any(
                name.endswith("_mtok") and value is not None for name, value in vars(model.get_prices(WHEN)).items()
            )


def test_no_usage_makes_pricing_fail_however_little_it_adds_up() -> None:
    chance = random.Random(11)
    for provider, model in models():
        price = price_of(model)
        for _ in range(4 if isinstance(price, OddPrice) else 0):
            usage = Usage(**{name: chance.choice((0, 1, 10**6)) for name in Usage.__struct_fields__})

            assert price is not None
            assert price.cost(usage) >= 0, (provider, model.id, usage)


def test_the_model_that_answered_is_charged_and_the_one_asked_for_where_that_is_unknown() -> None:
    prices = Prices()
    asked = target("openai", "gpt-4o")
    mini, full = (prices(target("openai", name), None, None, WHEN_MS) for name in ("gpt-4o-mini", "gpt-4o"))

    assert mini != full
    assert prices(asked, "gpt-4o-mini-2024-07-18", None, WHEN_MS) == mini
    assert prices(asked, "nobody-knows-this", None, WHEN_MS) == full
    assert prices(asked, None, None, WHEN_MS) == full


@pytest.mark.parametrize(
    ("where", "used"),
    [
        (target("openai"), None),
        (target("openai", "nobody-knows-this"), "nor-this"),
        (target("ollama", "gpt-4o"), "gpt-4o"),
    ],
)
def test_what_is_unknown_has_no_price(where: Target, used: str | None) -> None:
    assert Prices()(where, used, None, WHEN_MS) is None


@pytest.mark.parametrize("tier", ["flex", "priority", "default", "auto", "no-such-tier"])
def test_a_tier_is_charged_at_its_own_price_and_an_unknown_one_at_the_usual(tier: str) -> None:
    ours = Prices()(target("openai", "gpt-5"), None, tier, WHEN_MS)
    usage = Usage(input_tokens=1000, cached_input_tokens=300, output_tokens=500)
    said = genai_prices.calc_price(
        library_usage(usage),
        "gpt-5",
        provider_id="openai",
        genai_request_timestamp=WHEN,
        price_context={"service_tier": tier},
    )

    assert ours is not None
    assert abs(ours.cost(usage) - said.total_price * NANO) <= HALF


def test_a_price_is_looked_up_once_in_half_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = Prices()
    where = target("openai", "gpt-4o")
    slot = WHEN_MS - WHEN_MS % 1_800_000
    first = prices(where, None, None, slot)

    assert prices(where, None, None, slot + 1_799_999) is first
    assert prices(where, None, None, slot + 1_800_000) is not first
    assert prices(where, None, "flex", slot) is not first
    assert first is not None
    assert first.version.startswith("genai-prices ")


@pytest.mark.parametrize("path", recorded("openai/chat", "openai/responses", "groq/chat", "openrouter/chat"))
def test_a_recording_costs_what_genai_prices_makes_of_it(path: Path) -> None:
    provider, endpoint = path.parts[-3:-1]
    reader = ResponsesReader() if endpoint == "responses" else ChunkReader(hide_usage=False)
    for event in EventScanner().feed(path.read_bytes()):
        reader.read(event)
    ours = Prices()(target(provider), reader.model, reader.tier, WHEN_MS)
    if reader.reported is None:
        assert "error" in path.stem
        return
    flavor = endpoint if endpoint in FLAVORS[provider] else "default"
    answer: dict[str, Any] = {"model": reader.model, "usage": json.loads(reader.reported.raw)}
    try:
        said = genai_prices.extract_usage(answer, provider_id=PROVIDERS[provider].prices or "", api_flavor=flavor)
    except LookupError:
        assert ours is None
        return
    cost = said.calc_price(
        genai_request_timestamp=WHEN, price_context={"service_tier": reader.tier} if reader.tier else None
    )

    assert ours is not None
    assert abs(ours.cost(reader.reported.usage) - cost.total_price * NANO) <= HALF


def test_nearly_every_odd_price_can_be_told_as_unit_prices_of_the_tier_in_force() -> None:
    told = untold = 0
    for provider, model in models():
        price = price_of(model)
        for tokens in (1000, 150_000, 300_000, 1_500_000) if isinstance(price, OddPrice) else ():
            assert price is not None
            usage = Usage(input_tokens=tokens, cached_input_tokens=tokens // 3, output_tokens=tokens // 7)
            plain = price.in_force(usage)
            if plain is None:
                untold += 1
            else:
                told += 1
                assert type(plain) is Price
                assert plain.cost(usage) == price.cost(usage), (provider, model.id, tokens)

    assert told > 300
    assert untold < told // 20


def test_the_tier_in_force_is_that_of_the_whole_input() -> None:
    price = Prices()(target("gemini", "gemini-2.5-pro"), None, None, WHEN_MS)
    assert isinstance(price, OddPrice)

    below, above = (price.in_force(Usage(input_tokens=tokens)) for tokens in (200_000, 200_001))

    assert below is not None
    assert above is not None
    assert (below.input, above.input) == (1_250_000_000, 2_500_000_000)
