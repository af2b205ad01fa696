"""`tollkeeper verify`: the ledger proves itself."""

import time

import click

from tollkeeper.cli.options import EXIT_FAILED, Common, common, print_json
from tollkeeper.core.money import usd_from_nano


@click.command()
@common
def verify(options: Common) -> None:
    """Check that the ledger is whole and adds up. Exits with 1 and says what does not if anything does not."""
    reports = options.reports()
    problems = reports.problems(int(time.time() * 1000))
    events, tokens, nano = reports.totals()
    if options.json:
        print_json(
            {
                "ok": not problems,
                "problems": problems,
                "events": events,
                "tokens": tokens,
                "cost_usd": usd_from_nano(nano),
                "open_holds": reports.open_holds(),
            }
        )
    else:
        for problem in problems:
            click.echo(problem, err=True)
        click.echo(f"{events} events, {tokens} tokens, {usd_from_nano(nano)} USD, {reports.open_holds()} open holds")
        click.echo("The ledger does not add up." if problems else "The ledger adds up.")
    if problems:
        raise SystemExit(EXIT_FAILED)
