"""Prices from genai-prices, turned into integers once per model and half hour and kept.

genai-prices resolves names, dates and service tiers; charging a call with it takes about 70 µs, with the integers 1 µs.
A price that our integers cannot express (tiers by input size, other units) is charged by genai-prices itself.
"""

import threading
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tollkeeper.core.account import Target
from tollkeeper.core.money import NANO, Price, nano_from_usd, split
from tollkeeper.core.usage import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_SLOT_MS = 1_800_000
"""Prices are kept for half an hour: some change at a time of day."""
_MOST = 4096
_FIELDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "cache_audio_read_mtok": "cached_audio_input",
    "output_audio_mtok": "audio_output",
}
_PER_THOUSAND = {"requests_kcount": "request", "web_searches_kcount": "web_search"}
_BESIDE = frozenset(("storage_searches_kcount",))
"""Priced apart from tokens; no provider's usage object reports them as tokens."""


class Prices:
    """Looks prices up. The library (16 MB, 0.1 s) is imported when the first price is needed, or by `read_in`."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str | None, int], Price | None] = {}
        self._lock = threading.Lock()

    @cached_property
    def _version(self) -> str:
        from importlib import metadata

        return "genai-prices " + metadata.version("genai-prices")

    @staticmethod
    def read_in() -> None:
        """Imports the library, so that no call waits for that. Blocking; meant for a thread."""
        from genai_prices.data_snapshot import get_snapshot

        get_snapshot()

    def __call__(self, target: Target, model_used: str | None, tier: str | None, when_ms: int) -> Price | None:
        """What the target's provider asks for the model at that time, the model as its answer named it coming first.

        None where genai-prices knows neither name.
        """
        provider = target.account.provider.prices
        if provider is None:
            return None
        slot = when_ms // _SLOT_MS
        for model in (model_used, target.model):
            if not model:
                continue
            key = (provider, model, tier, slot)
            if key not in self._found:
                with self._lock:
                    if len(self._found) > _MOST:
                        self._found.clear()
                    self._found[key] = self._look_up(provider, model, tier, when_ms)
            price = self._found[key]
            if price is not None:
                return price
        return None

    def _look_up(self, provider_id: str, model: str, tier: str | None, when_ms: int) -> Price | None:
        from genai_prices.data_snapshot import get_snapshot

        when = datetime.fromtimestamp(when_ms / 1000, UTC)
        try:
            _, info = get_snapshot().find_provider_model(model, None, provider_id, None)
        except LookupError:
            return None
        context = None
        if tier:  # the library knows of batches as a way of processing, not as a tier
            context = {"processing": tier} if tier == "batch" else {"service_tier": tier}
        return self._integers(info, info.get_prices(when, context), when, context)

    def _integers(self, info: "ModelInfo", prices: "ModelPrice", when: datetime, context: Any) -> Price | None:
        found: dict[str, int] = {}
        priced = {name: value for name, value in prices.__dict__.items() if value is not None and name not in _BESIDE}
        if not any(name.endswith("_mtok") for name in priced):
            return None  # hours, pages, characters: no usage object tells them, and unknown is not zero
        for name, value in priced.items():
            if isinstance(value, Decimal) and name in _PER_THOUSAND:
                field, value = _PER_THOUSAND[name], value / 1000
            else:
                field = _FIELDS.get(name, "")
            if not field or not isinstance(value, Decimal) or value * NANO % 1:
                return _odd(self._version, info, prices)
            found[field] = nano_from_usd(value)
        return Price(version=self._version, context=info.context_window, **found)


def _odd(version: str, info: "ModelInfo", prices: "ModelPrice") -> "OddPrice":
    """Its plain fields are the dearest of all tiers: what budgets hold for a call, not what it is charged."""
    dearest = {"input": Decimal(0), "output": Decimal(0)}
    for name, value in prices.__dict__.items():
        if value is not None and name.endswith("_mtok"):
            side = "output" if name.startswith("output") else "input"
            tiers = [value] if isinstance(value, Decimal) else [value.base, *(tier.price for tier in value.tiers)]
            dearest[side] = max(dearest[side], *tiers)
    return OddPrice(
        version=version,
        prices=prices,
        context=info.context_window,
        input=_rounded_up(dearest["input"]),
        output=_rounded_up(dearest["output"]),
        **{
            field: _rounded_up((prices.__dict__.get(name) or Decimal(0)) / 1000)
            for name, field in _PER_THOUSAND.items()
        },
    )


def _rounded_up(usd: Decimal) -> int:
    return int((usd * NANO).to_integral_value(ROUND_CEILING))


class OddPrice(Price, frozen=True, kw_only=True):
    """A price of genai-prices with tiers or units that `Price` has no field for: charged by the library, 70 µs a call."""

    prices: Any

    def cost(self, usage: Usage) -> int:
        from genai_prices import Usage as LibraryUsage

        parts = split(usage)
        cost = self.prices.calc_price(
            LibraryUsage(
                input_tokens=usage.input_tokens,
                cache_read_tokens=parts.cached + parts.cached_audio,
                cache_write_tokens=parts.written + parts.written_1h,
                cache_write_1h_tokens=parts.written_1h,
                input_audio_tokens=parts.audio + parts.cached_audio,
                cache_audio_read_tokens=parts.cached_audio,
                output_tokens=usage.output_tokens,
                output_audio_tokens=parts.spoken,
                web_searches=usage.web_searches,
                output_reasoning_tokens=min(usage.reasoning_tokens, usage.output_tokens - parts.spoken),
            )
        )
        return nano_from_usd(cost["total_price"])

    def halved(self) -> Price:
        """Itself: what it charges is the library's."""
        return self

    def in_force(self, usage: Usage) -> Price | None:
        """The tier that this usage falls into; None where other units than tokens were charged too."""
        found: dict[str, int] = {}
        for name, value in self.prices.__dict__.items():
            unit = _tier(value, usage.input_tokens)
            if unit is None or name in _BESIDE:
                continue
            field = _FIELDS.get(name) or _PER_THOUSAND.get(name)
            if field is None or unit * NANO % 1:
                continue  # where it matters the costs differ below
            found[field] = nano_from_usd(unit / 1000 if name in _PER_THOUSAND else unit)
        price = Price(version=self.version, **found)
        return price if price.cost(usage) == self.cost(usage) else None


def _tier(value: Any, input_tokens: int) -> Decimal | None:
    """A price, or that of the highest tier which the whole input reaches: it is charged for all tokens."""
    if value is None or isinstance(value, Decimal):
        return value
    reached = [tier.price for tier in value.tiers if input_tokens > tier.start]
    return Decimal(reached[-1] if reached else value.base)
