"""`tollkeeper check`: is the config good, and what does it amount to?"""

import os

import click

from tollkeeper import config as configuration
from tollkeeper.cli.options import Common, common, print_json


@click.command()
@common
def check(options: Common) -> None:
    """Check the config without starting anything. Exits with 3 and names every problem if it is not good."""
    loaded = configuration.load(options.config, os.environ)
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
