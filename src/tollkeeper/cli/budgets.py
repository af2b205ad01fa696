"""`tollkeeper budgets`: what is spent of every budget, by the ledger; works beside a running gate and without one."""

import os
import time

import click

from tollkeeper import config as configuration
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.budget import FOREVER, Slice
from tollkeeper.core.windows import bounds
from tollkeeper.operator.budgets import standing
from tollkeeper.policies.budgets.rules import every_line
from tollkeeper.stores.sqlite.balances import spent_and_held
from tollkeeper.stores.sqlite.keys import KeyStore

_NEVER_CUT = 10_000
_NO_FILE = (
    "Read without a config file, as there is no tollkeeper.toml here: budgets that the gate's file sets are not among "
    "these. Name it with --config."
)


@click.command()
@common
def budgets(options: Common) -> None:
    """What is spent of every budget, held and left, and when it renews.

    A key's own budgets are in the store; those for all, each key, teams and owners are in the config.
    """
    home = options.stored_home()
    store = KeyStore(home, time.time, os.urandom, create=False)
    click.get_current_context().call_on_close(store.close)
    now_ms = int(time.time() * 1000)
    keys = [key for key in store.list() if key.usable(now_ms)]
    rules, file = configuration.budget_rules(options.config)
    lines = every_line(rules, keys)
    slices = []
    for line in lines:
        start, end = bounds(line.any.window, line.any.zone, now_ms)
        slices.append(Slice(line.any.scope, line.any.of, start, FOREVER if end is None else end))
    names = {key.id: key.name for key in keys}
    rows = []
    for line, asked, (spent, held) in zip(lines, slices, spent_and_held(home, slices), strict=True):
        for budget in (line.soft, line.hard):
            if budget is not None:
                amounts = (spent.nano, held.nano) if budget.unit == "usd" else (spent.tokens, held.tokens)
                rows.append(standing(budget, names.get(budget.of or ""), *amounts, asked.start, asked.end))
    if file is None:  # the gate's may be elsewhere, and its budgets would be missing here in silence
        click.echo(_NO_FILE, err=True)
    if options.json:
        print_json(rows)
        return
    if not rows:
        click.echo("No key that is usable has a budget" + ("." if file is None else f", and {file} sets none."))
        return
    from rich.console import Console  # for people only
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("of", no_wrap=True)
    table.add_column("budget", no_wrap=True)
    for heading in ("spent", "held", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("renews", no_wrap=True)
    for row in rows:
        whose = " ".join(filter(None, (row["scope"], row["name"] or row["of"])))
        table.add_row(whose, row["budget"], row["spent"], row["held"], row["left"], row["renews"] or "never")
    Console(highlight=False, markup=False, emoji=False, width=_NEVER_CUT).print(table)
    if file is not None:
        click.echo(f"Those of keys, and those that {file} sets.")
