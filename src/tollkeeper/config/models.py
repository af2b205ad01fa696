"""[models.NAME] become targets with their prices."""

from collections.abc import Mapping
from decimal import Decimal

from tollkeeper.config.reading import Problem, quoted
from tollkeeper.config.tables import Config, PriceConfig
from tollkeeper.core.account import Account, Target
from tollkeeper.core.money import Price, nano_from_usd

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
        for target in given.targets:
            provider, slash, model = target.partition("/")
            if not slash or not model:
                problem(f"{dotted}.targets", f"expected 'provider/model', got '{target}'")
            elif provider not in accounts:
                problem(f"{dotted}.targets", f"'{target}' names the provider '{provider}', which is not configured")
            else:
                targets.append(Target(accounts[provider], model, price))
        if not given.targets:
            problem(f"{dotted}.targets", "expected at least one 'provider/model'")
        models[name] = tuple(targets)
    return models


def _price(given: PriceConfig | None, dotted: str, problem: Problem) -> Price | None:
    if given is None:
        return None
    for field in PriceConfig.__struct_fields__:
        if (getattr(given, field) or 0) < 0:
            problem(f"{dotted}.{field}", "expected USD, 0 or more")

    def nano(usd: Decimal | None) -> int | None:
        return None if usd is None else nano_from_usd(usd)

    return Price(
        version="config",
        input=nano_from_usd(given.input),
        output=nano_from_usd(given.output),
        cached_input=nano(given.cached_input),
        cache_write=nano(given.cache_write),
        audio_input=nano(given.audio_input),
        audio_output=nano(given.audio_output),
        request=nano_from_usd(given.request),
    )
