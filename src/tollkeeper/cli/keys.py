"""`tollkeeper keys`: make, list, show, revoke and rotate keys; works beside a running gate, which notices at once."""

import os
import re
import time
from datetime import UTC, datetime, timedelta

import click

from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.operator.keys import shown
from tollkeeper.operator.usage import moment
from tollkeeper.stores.sqlite.keys import KeyStore

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group()
def keys() -> None:
    """Keys that callers present."""


def _store(options: Common) -> KeyStore:
    store = KeyStore(options.home_folder(), time.time, os.urandom)
    click.get_current_context().call_on_close(store.close)
    return store


@keys.command()
@click.option("--name", required=True, help="What to call it.")
@click.option("--owner", help="Person or program it is for.")
@click.option("--team", help="Team it belongs to.")
@click.option("--models", help="Comma-separated names it may use; `gpt-*` allows a prefix [default: all].")
@click.option("--expires", help="A date, a time, or a span like 90d or 12h.")
@common
def create(
    options: Common, name: str, owner: str | None, team: str | None, models: str | None, expires: str | None
) -> None:
    """Make a key. Its secret is shown this once."""
    allowed = [model.strip() for model in models.split(",") if model.strip()] if models is not None else None
    key, secret = _store(options).create(
        name, owner=owner, team=team, models=allowed, expires_at=_expiry(expires) if expires is not None else None
    )
    _print_secret(options, key, secret)


@keys.command("list")
@common
def list_all(options: Common) -> None:
    """List all keys, revoked ones too."""
    found = _store(options).list()
    if options.json:
        print_json([shown(key) for key in found])
        return
    for key in found:
        click.echo(f"{key.id}  {key.shown}…  {_state(key):8}  {key.name}" + (f"  ({key.owner})" if key.owner else ""))


@keys.command()
@click.argument("key")
@common
def show(options: Common, key: str) -> None:
    """Show one key, by id or name."""
    found = shown(_store(options).get(key))
    if options.json:
        print_json(found)
        return
    for field, value in found.items():
        click.echo(f"{field:12} {value if value is not None else '-'}")


@keys.command()
@click.argument("key")
@common
def revoke(options: Common, key: str) -> None:
    """End a key for good."""
    found = _store(options).revoke(key)
    if options.json:
        print_json(shown(found))
    else:
        click.echo(f"{found.id} ({found.name}) is revoked.")


@keys.command()
@click.argument("key")
@common
def rotate(options: Common, key: str) -> None:
    """Give a key a new secret; the old one ends at once."""
    found, secret = _store(options).rotate(key)
    _print_secret(options, found, secret)


def _print_secret(options: Common, key: Key, secret: str) -> None:
    if options.json:
        print_json({"id": key.id, "name": key.name, "key": secret})
        return
    click.echo(f"{key.id} ({key.name}). Keep the secret, it is not shown again:")
    click.echo(secret)


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.usable(int(time.time() * 1000)) else "expired"


def _expiry(given: str) -> int:
    span = re.fullmatch(f"([0-9]{{1,5}})([{''.join(_UNITS)}])", given)
    if span:
        when = datetime.now(UTC) + timedelta(**{_UNITS[span[2]]: int(span[1])})
        found: int | None = int(when.timestamp() * 1000)
    else:
        found = moment(given, "--expires")
    if found is None or found <= time.time() * 1000:
        raise CallerError("--expires must lie in the future.", code="invalid_value", param="expires")
    return found
