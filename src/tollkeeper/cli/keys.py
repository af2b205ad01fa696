"""`tollkeeper keys`: make, list, show, change, revoke and rotate keys; a running gate notices at once."""

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from tollkeeper.cli import printing
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core import budget, rate
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.operator.keys import shown
from tollkeeper.operator.usage import moment
from tollkeeper.stores.sqlite.keys import KeyStore

if TYPE_CHECKING:
    from tollkeeper.stores.dynamodb.keys import DynamoKeyStore

_NONE = "none"
_SHORTHAND = {"rpm": "requests/minute", "tpm": "tokens/minute", "concurrency": "concurrent"}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group()
def keys() -> None:
    """Keys that callers present."""


def key_store(options: Common, *, create: bool = False) -> "KeyStore | DynamoKeyStore":
    """The home's; the table's where the environment names one, as that of gates on AWS Lambda does.

    A home that is not there is made with `create` only. Raises GateError where there is none.
    """
    store: KeyStore | DynamoKeyStore
    if options.table:
        from tollkeeper.stores.dynamodb import keys as table

        store = table.key_store(os.environ)
    else:
        store = KeyStore(options.home_folder(), time.time, os.urandom, create=create)
    click.get_current_context().call_on_close(store.close)
    return store


def _rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that making and changing a key share."""
    for option in reversed(
        (
            click.option("--owner", help="Person or program it is for."),
            click.option("--team", help="Team it belongs to."),
            click.option("--models", help="Comma-separated names it may use; `gpt-*` allows a prefix [default: all]."),
            click.option("--expires", help="A date, a time, or a span like 90d or 12h."),
            click.option("--budget", "budgets", multiple=True, help="Like `5 USD/month`; may be given several times."),
            click.option("--limit", "limits", multiple=True, help="Like `5 requests/10s`; may be given several times."),
            click.option("--rpm", type=int, help="Requests a minute."),
            click.option("--tpm", type=int, help="Tokens a minute."),
            click.option("--concurrency", type=int, help="Calls under way at once."),
        )
    ):
        command = option(command)
    return command


@keys.command()
@click.option("--name", required=True, help="What to call it.")
@_rules
@common
def create(options: Common, name: str, **given: Any) -> None:
    """Make a key. Its secret is shown this once."""
    key, secret = key_store(options, create=True).create(name, **_fields(given))
    _print_secret(options, key, secret)


@keys.command()
@click.argument("key")
@click.option("--name", help="What to call it.")
@_rules
@common
def change(options: Common, key: str, name: str | None, **given: Any) -> None:
    """Change a key. What is not given stays; a list that is given replaces the whole list; `none` takes away."""
    fields = _fields(given) | ({} if name is None else {"name": name})
    if not fields:
        raise CallerError("Say what is to change; see --help.", code="invalid_value")
    _print_key(options, key_store(options).change(key, fields))


@keys.command("list")
@common
def list_all(options: Common) -> None:
    """List all keys, revoked ones too."""
    found = key_store(options).list()
    if options.json:
        print_json([shown(key) for key in found])
        return
    if not found:
        printing.nothing("There is no key: tollkeeper keys create --name NAME makes one.")
    for key in found:
        rules = ", ".join([*map(budget.shown, key.budgets), *map(rate.shown, key.limits)])
        owner = f"  ({key.owner})" if key.owner else ""
        click.echo(f"{key.id}  {key.shown}…  {_state(key):8}  {key.name}{owner}" + (f"  {rules}" if rules else ""))


@keys.command()
@click.argument("key")
@common
def show(options: Common, key: str) -> None:
    """Show one key, by id or name."""
    _print_key(options, key_store(options).get(key))


@keys.command()
@click.argument("key")
@common
def revoke(options: Common, key: str) -> None:
    """End a key for good."""
    found = key_store(options).revoke(key)
    if options.json:
        print_json(shown(found))
    else:
        click.echo(f"{found.id} ({found.name}) is revoked.")


@keys.command()
@click.argument("key")
@common
def rotate(options: Common, key: str) -> None:
    """Give a key a new secret; the old one ends at once."""
    found, secret = key_store(options).rotate(key)
    _print_secret(options, found, secret)


def _print_secret(options: Common, key: Key, secret: str) -> None:
    if options.json:
        print_json({"id": key.id, "name": key.name, "key": secret})
        return
    click.echo(f"{key.id} ({key.name}). Keep the secret, it is not shown again:")
    click.echo(secret)


def _print_key(options: Common, key: Key) -> None:
    fields = shown(key)
    if options.json:
        print_json(fields)
        return
    for field, value in fields.items():
        if field.endswith("_at"):
            value = None if value is None else _date(value)
        elif field == "models" and value is None:
            value = "all"
        elif isinstance(value, (list, tuple)):
            value = ", ".join(value) or None
        click.echo(f"{field:12} {value if value is not None else '-'}")


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """What was given of a key's fields, as the store takes them."""
    fields: dict[str, Any] = {}
    for field in ("owner", "team"):
        if given[field] is not None:
            fields[field] = None if given[field] == _NONE else given[field]
    if given["models"] is not None:
        names = [model.strip() for model in given["models"].split(",") if model.strip()]
        if not names:  # as of a variable that is not set: such a key could be used for nothing
            raise CallerError(
                "--models names no model: leave it out for all, or name them as in gpt-4o,gpt-5*.",
                code="invalid_value",
                param="models",
            )
        fields["models"] = None if names == [_NONE] else names
    if given["expires"] is not None:
        fields["expires_at"] = None if given["expires"] == _NONE else _expiry(given["expires"])
    shorthand = [f"{given[option]} {words}" for option, words in _SHORTHAND.items() if given[option] is not None]
    for field, texts in (("budgets", list(given["budgets"])), ("limits", [*given["limits"], *shorthand])):
        if texts:
            fields[field] = [] if texts == [_NONE] else texts
    return fields


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
        try:
            found = moment(given, "--expires")
        except CallerError as error:
            raise CallerError(
                f"{error.message[:-1]}, or a span like 90d or 12h.", code="invalid_value", param="expires"
            ) from None
    if found is None or found <= time.time() * 1000:
        raise CallerError("--expires must lie in the future.", code="invalid_value", param="expires")
    return found
