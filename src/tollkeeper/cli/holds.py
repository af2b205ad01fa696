"""`tollkeeper holds`: what is set aside for attempts that have not ended, and an end for a batch that was given up."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import click

from tollkeeper.cli import printing
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.events import Hold
from tollkeeper.core.money import usd_from_nano
from tollkeeper.stores.sqlite import recovery
from tollkeeper.stores.sqlite.sole import HomeTaken, sole


@click.group()
def holds() -> None:
    """What is set aside for attempts that have not ended."""


@holds.command("list")
@common
def list_all(options: Common) -> None:
    """List the open holds, oldest first."""
    found = options.reports().holds()
    if options.json:
        print_json([_shown(hold) for hold in found])
        return
    if not found:
        printing.nothing("Nothing is held.")
    for hold in found:
        shown = _shown(hold)
        amounts = [f"{shown['held_usd']} USD"] * (hold.held_nano is not None)
        amounts += [f"{hold.held_tokens} tokens"] * (hold.held_tokens is not None)
        told = (
            f"{hold.request_id}:{hold.attempt}  {hold.key_id}  {hold.provider}/{hold.model or '-'}  {shown['what']}  "
            f"{', '.join(amounts) or '-'}  since {shown['since']}  until {shown['until']}"
        )
        click.echo(printing.line(told))


@holds.command()
@click.argument("id")
@click.option("--uncharged", is_flag=True, help="Charge nothing: the provider has cancelled it, or never had it.")
@common
def end(options: Common, id: str, uncharged: bool) -> None:
    """End the hold of a provider's batch whose job will not go on. Its input is charged, as after a crash."""
    names = (id, f"{id}:1")
    found = [hold for hold in options.reports().holds() if f"{hold.request_id}:{hold.attempt}" in names]
    if not found:
        raise CallerError(f"Nothing is held for '{id[:64]}'.", status=404)
    if not found[0].detached:
        raise CallerError("That is no batch's: it ends with its attempt, or with the next start of the gate.")
    try:
        with sole(options.stored_home()):
            asyncio.run(_ended(options, found[0], uncharged))
    except HomeTaken as taken:
        raise GateError(f"{taken.message.partition('.')[0]}: stop it first, it has its holds in memory.") from None
    if options.json:
        print_json(_shown(found[0]))
    else:
        click.echo(f"{found[0].request_id} is ended" + (", and nothing is charged." if uncharged else "."))


async def _ended(options: Common, hold: Hold, uncharged: bool) -> None:
    from tollkeeper.app import open_app  # all that a gate is made of: its prices, and who writes its ledger

    app = open_app(options.config, options.stored_home(), os.environ, quiet=True, watched=False)
    if uncharged:
        app.ledger.release(hold.request_id, hold.attempt)
    else:
        app.record(recovery.recovered(hold, app.pricing.of_hold))
    if not await app.close():
        raise GateError("The ledger could not be written.")


def _shown(hold: Hold) -> dict[str, Any]:
    return {
        "request_id": hold.request_id,
        "attempt": hold.attempt,
        "key_id": hold.key_id,
        "provider": hold.provider,
        "model": hold.model,
        "what": "batch" if hold.detached else "call",
        "held_usd": None if hold.held_nano is None else usd_from_nano(hold.held_nano),
        "held_tokens": hold.held_tokens,
        "since": _moment(hold.started_at),
        "until": _moment(hold.expires_at),
    }


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
