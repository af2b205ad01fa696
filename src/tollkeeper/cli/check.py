"""`tollkeeper check`: is the config good, and what does it amount to?"""

import os
import time
from typing import Any, NoReturn

import click

from tollkeeper import config as configuration
from tollkeeper.apis.importing import Modules
from tollkeeper.apis.means import Means
from tollkeeper.cli import printing
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.call import Call
from tollkeeper.core.errors import CallerError
from tollkeeper.flow.routing import Routing


@click.command()
@common
def check(options: Common) -> None:
    """Check the config without starting anything. Exits with 3 and names every problem if it is not good."""
    loaded = configuration.load(options.config, os.environ)
    apis = _published(loaded)
    resources = _resources(loaded, options)
    notes = _nobodys(loaded)
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
        **resources,
        "notes": notes,
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
    for kind, of in resources.items():
        for id, value in of.items():
            click.echo(f"  {printing.resource(kind, id, value)}")
    for note in notes:
        click.echo(note, err=True)


def _nobodys(loaded: configuration.Loaded) -> list[str]:
    """A line for each model that is named and that nobody has. The gate starts all the same: calls of it are refused."""
    config = loaded.config
    named = {f"apis.{name}.model": api.model for name, api in config.apis.items()}
    named |= {f"websocket.actions.{name}.model": action.model for name, action in config.websocket.actions.items()}
    named |= {"websocket.model": config.websocket.model, "assistant.model": config.assistant.model}
    routing = Routing(loaded.models, loaded.accounts)
    found = []
    for dotted, model in named.items():
        if model is None or model == "demo":  # which is there with `serve --demo`
            continue
        try:
            routing.targets(model)
        except CallerError:
            found.append(f"{loaded.where(dotted)}{dotted}: nobody has a model '{model}': calls of it are refused")
    return found


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


def _resources(loaded: configuration.Loaded, options: Common) -> dict[str, dict[str, Any]]:
    """Routes and the like that the file declares, by kind and id, secrets hidden. Raises ConfigError.

    What they refer to may be in the store, if there is one: it is looked into.
    """
    from tollkeeper.stores.sqlite import database

    home = options.home_folder()
    stored = (home / database.FILE).exists()
    if not loaded.resources and not stored:
        return {}
    from tollkeeper import plugins  # which few configs need: so with all that belongs to routes
    from tollkeeper.core.revisions import Revisions
    from tollkeeper.routes.administration import Administration
    from tollkeeper.routes.assembly import by_file
    from tollkeeper.routes.checking import Checker
    from tollkeeper.routes.hiding import shown
    from tollkeeper.routes.registry import Registry
    from tollkeeper.stores.memory.revisions import MemoryRevisions
    from tollkeeper.stores.sqlite.revisions import SqliteRevisions
    from tollkeeper.upstream.nodes import Allowed

    routing = loaded.config.routing
    store: Revisions = MemoryRevisions()
    if stored:
        store = SqliteRevisions(home, create=False)
        click.get_current_context().call_on_close(store.close)
    registry = Registry(plugins, None if routing.plugins is None else loaded.folder / routing.plugins, routing)
    checker = Checker(registry, Allowed(routing.allow_nodes))
    administration = Administration(store, checker, time.time, lambda *_: None, lambda *_: None)
    administration.reload()
    by_file(administration, loaded.resources, loaded.where)
    return {kind: {id: shown(value) for id, value in of.items()} for kind, of in loaded.resources.items()}


async def _asked(call: Call) -> NoReturn:
    """Nobody calls what is only checked."""
    raise AssertionError(call.request_id)
