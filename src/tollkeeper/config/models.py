"""[models.NAME] become targets with their prices."""

import math
from collections.abc import Mapping
from decimal import Decimal

from tollkeeper.config.reading import Problem, quoted
from tollkeeper.config.tables import Config, PriceConfig, TargetConfig
from tollkeeper.core.account import Account, Balancing, Target
from tollkeeper.core.money import Price, nano_from_usd
from tollkeeper.policies.cache import ModelCache

_DEMO_PRICE = Price(version="demo", input=150_000_000, output=600_000_000)
"""Nobody is charged for it; it lets a first try show a cost: 0.15 and 0.60 USD per million tokens."""


def models_of(config: Config, accounts: Mapping[str, Account], problem: Problem) -> dict[str, tuple[Target, ...]]:
    models: dict[str, tuple[Target, ...]] = {}
    if "demo" in accounts and accounts["demo"].provider.name == "demo":
        models["demo"] = (Target(accounts["demo"], "demo", _DEMO_PRICE),)
    for name, given in config.models.items():
        dotted = f"models.{quoted(name)}"
        price = _price(given.price, f"{dotted}.price", problem)
        targets = []
        for number, entry in enumerate(given.targets):
            target = TargetConfig(target=entry) if isinstance(entry, str) else entry
            provider, slash, model = target.target.partition("/")
            if not slash or not model:
                problem(f"{dotted}.targets", f"expected 'provider/model', got '{target.target}'")
            elif provider not in accounts:
                problem(
                    f"{dotted}.targets", f"'{target.target}' names the provider '{provider}', which is not configured"
                )
            elif not math.isfinite(target.weight):
                problem(f"{dotted}.targets[{number}].weight", "expected a finite number")
            else:
                own = _price(target.price, f"{dotted}.targets[{number}].price", problem) or price
                targets.append(
                    Target(
                        accounts[provider],
                        model,
                        own,
                        target.weight,
                        target.concurrency,
                        given.max_output_tokens,
                        given.strict,
                    )
                )
        names = [target.name for target in targets]
        for twice in sorted({name for name in names if names.count(name) > 1}):
            problem(f"{dotted}.targets", f"'{twice}' is there twice; give it a weight instead")
        if not given.targets:
            problem(f"{dotted}.targets", "expected at least one 'provider/model'")
        models[name] = tuple(targets)
    return models


def balancing_of(config: Config) -> dict[str, Balancing]:
    """How calls are shared out, of every configured model."""
    return {
        name: Balancing(strategy=given.strategy, affinity=given.affinity, fall_back_on=frozenset(given.fall_back_on))
        for name, given in config.models.items()
    }


def _price(given: PriceConfig | None, dotted: str, problem: Problem) -> Price | None:
    if given is None:
        return None
    for field in PriceConfig.__struct_fields__:
        value = getattr(given, field) or Decimal(0)
        if not value.is_finite() or value < 0:
            problem(f"{dotted}.{field}", "expected USD, 0 or more")
            return None

    def nano(usd: Decimal | None) -> int | None:
        return None if usd is None else nano_from_usd(usd)

    return Price(
        version="config",
        input=nano_from_usd(given.input),
        output=nano_from_usd(given.output),
        cached_input=nano(given.cached_input),
        cache_write=nano(given.cache_write),
        cache_write_1h=nano(given.cache_write_1h),
        audio_input=nano(given.audio_input),
        audio_output=nano(given.audio_output),
        request=nano_from_usd(given.request),
        web_search=nano_from_usd(given.web_search),
    )


def cached_models(config: Config) -> dict[str, ModelCache]:
    """The models whose answers are kept."""
    return {name: model.cache for name, model in config.models.items() if model.cache is not None}
