"""`tollkeeper routes`: what is configured, how it came to be so, and back again; a running gate notices within a second."""

import getpass
import os
import time
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import yaml

from tollkeeper import config as configuration
from tollkeeper import plugins
from tollkeeper.cli import printing
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.config.routing import plain
from tollkeeper.core.errors import CallerError
from tollkeeper.operator.revisions import shown
from tollkeeper.routes import declared, differences
from tollkeeper.routes.administration import Actor, Administration
from tollkeeper.routes.checking import Checker
from tollkeeper.routes.registry import Registry
from tollkeeper.stores.sqlite.revisions import SqliteRevisions
from tollkeeper.upstream.nodes import Allowed

_COLOURS = {"+": "green", "-": "red", "~": "yellow"}


@click.group()
def routes() -> None:
    """Ordinary routes: list, history, diff, undo, apply."""


def _administration(options: Common, *, create: bool = False) -> Administration:
    """Over the home's store, which is made with `create` where there is none. Raises GateError without."""
    routing, folder = configuration.routing_of(options.config)
    store = SqliteRevisions(options.stored_home(), keep=routing.keep_revisions, create=create)
    click.get_current_context().call_on_close(store.close)
    registry = Registry(plugins, None if routing.plugins is None else folder / routing.plugins, routing)
    checker = Checker(registry, Allowed(routing.allow_nodes))
    found = Administration(store, checker, time.time, lambda *_: None, lambda *_: None)
    found.reload()
    return found


def _me() -> Actor:
    try:
        return Actor(getpass.getuser(), "cli")
    except (KeyError, OSError):
        return Actor(str(os.getuid()), "cli")


@routes.command("list")
@common
def list_all(options: Common) -> None:
    """Everything that is configured."""
    administration = _administration(options)
    values = {kind: {id: each.value for id, each in of.items()} for kind, of in administration.stored.items()}
    found = declared.shown(values)
    if options.json:
        print_json(found)
        return
    if not any(found.values()):
        printing.nothing("Nothing is configured: see tollkeeper routes apply, or the config's [routes].")
    for kind, of in found.items():
        for id, value in of.items():
            click.echo(printing.resource(kind, id, value))


@routes.command()
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many, newest first.")
@common
def history(options: Common, limit: int) -> None:
    """Every change: when, who, by which face."""
    found = _administration(options).history(limit)
    if options.json:
        print_json([shown(each) for each in found])
        return
    if not found:
        printing.nothing("Nothing was ever changed.")
    for each in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(each.at / 1000))
        told = f"{each.number:>6}  {when} UTC  {each.who} by {each.face}  {each.what}  ({len(each.changes)})"
        click.echo(printing.line(told))


@routes.command()
@click.argument("number", type=int)
@common
def diff(options: Common, number: int) -> None:
    """What one revision changed."""
    found = _administration(options).revision_of(number)
    if options.json:
        print_json(shown(found))
        return
    _print_lines(differences.lines(found.changes))


@routes.command()
@click.argument("number", type=int)
@common
def undo(options: Common, number: int) -> None:
    """Take back what one revision changed, as a revision of its own."""
    done = _administration(options).undo(number, _me())
    if options.json:
        print_json(shown(done))
        return
    _print_lines(differences.lines(done.changes))
    click.echo(f"Revision {done.number}.")


@routes.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry", is_flag=True, help="Only show the difference.")
@common
def apply(options: Common, file: Path, dry: bool) -> None:
    """Make everything as FILE says (TOML, YAML or JSON). What is not in it is deleted."""
    administration = _administration(options, create=True)
    draft = administration.planned(declared.desired(_read(file)))
    administration.check(draft)
    changes = draft.changes()
    done = None if dry else administration.commit(draft, _me(), f"apply {file.name}")
    if options.json:
        print_json({"difference": differences.lines(changes), "revision": None if done is None else done.number})
        return
    _print_lines(differences.lines(changes))
    if not changes:
        click.echo("Everything is so already.")
    elif done is not None:
        click.echo(f"Revision {done.number}.")


def _read(file: Path) -> Any:
    try:
        text = file.read_text("utf-8")
        if file.suffix == ".toml":
            return plain(tomllib.loads(text, parse_float=Decimal))
        return yaml.safe_load(text)  # JSON is YAML
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CallerError(f"{file}: cannot be read: {error}", code="invalid_resource") from None


def _print_lines(found: list[str]) -> None:
    for line in found:
        click.secho(printing.line(line), fg=_COLOURS.get(line.lstrip()[:1]))
