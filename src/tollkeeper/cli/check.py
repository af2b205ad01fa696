"""`tollkeeper check`: is the config good, and what does it amount to?"""

import os
import time
from typing import NoReturn

import click

from tollkeeper import config as configuration
from tollkeeper.apis.importing import Modules
from tollkeeper.apis.means import Means
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.call import Call


@click.command()
@common
def check(options: Common) -> None:
    """Check the config without starting anything. Exits with 3 and names every problem if it is not good."""
    loaded = configuration.load(options.config, os.environ)
    apis = _published(loaded)
    about = {
        "config": str(loaded.path) if loaded.path else None,
        "providers": {
            name: {"base_url": account.provider.base_url, "key": account.secret is not None, "leave": account.leave}
            for name, account in loaded.accounts.items()
        },
        "models": {
            name: [f"{target.account.name}/{target.model}" for target in targets]
            for name, targets in loaded.models.items()
        },
        "apis": apis,
    }
    if options.json:
        print_json(about)
        return
    click.echo(f"Good: {about['config'] or 'no file; defaults and the environment'}")
    for name, account in loaded.accounts.items():
        key = "with a key" if account.secret else "without a key"
        click.echo(f"  provider {name}: {account.provider.base_url} {key}")
    for name, targets in loaded.models.items():
        click.echo(f"  model {name}: " + ", ".join(f"{t.account.name}/{t.model}" for t in targets))
    for name, path in apis.items():
        click.echo(f"  api {name}: POST {path}")


def _published(loaded: configuration.Loaded) -> dict[str, str]:
    """The published APIs' paths by name; functions are imported. Raises ConfigError."""
    if not loaded.config.apis:
        return {}
    from tollkeeper.apis.publishing import (
        publish,  # brings template engine and schema compiler: most configs need neither
    )

    means = Means(_asked, lambda *words, **fields: None, time.monotonic)
    published = publish(loaded.config.apis, Modules(loaded.folder), loaded.where, means)
    return {name: api.description.path for name, api in published.items()}


async def _asked(call: Call) -> NoReturn:
    """Nobody calls what is only checked."""
    raise AssertionError(call.request_id)
