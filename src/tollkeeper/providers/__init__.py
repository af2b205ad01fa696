"""One short data file per provider; the file's name is the name in the config, and being here is being known."""

from importlib import import_module
from pkgutil import iter_modules

from tollkeeper.core.provider import Provider


def _found() -> dict[str, Provider]:
    providers = {}
    for module in iter_modules(__path__):
        provider: Provider = import_module(f"{__name__}.{module.name}").PROVIDER
        if provider.name.replace("-", "_") != module.name:
            raise ValueError(f"providers/{module.name}.py names its provider {provider.name!r}")
        providers[provider.name] = provider
    return providers


PROVIDERS = _found()
