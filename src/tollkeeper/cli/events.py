"""`tollkeeper events`: the ledger's records, newest first."""

import click

from tollkeeper.cli import printing
from tollkeeper.cli.keys import key_store
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.operator.usage import event_dict, of_key, stretch


@click.command()
@click.option("--key", help="Only this key's, by id or name.")
@click.option("--since", help="A date or time (UTC if no zone is given).")
@click.option("--until", help="A date or time.")
@click.option("--request", help="Only this request's.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=20, show_default=True)
@common
def events(
    options: Common, key: str | None, since: str | None, until: str | None, request: str | None, limit: int
) -> None:
    """Show events."""
    first, last = stretch(since, until, prefix="--")
    found = options.sums().events(
        key=of_key(key, key_store(options)) if key else None,
        since=first,
        until=last,
        request_id=request,
        limit=limit,
    )
    shown = [event_dict(event) for event in found]
    if options.json:
        print_json(shown)
        return
    if not shown:
        printing.nothing("There are no such events.")
    for event in shown:
        cost = "unpriced" if event["cost_usd"] is None else f"{event['cost_usd']} USD"
        told = (
            f"{event['request_id']}:{event['attempt']}  {event['key_id']}  {event['provider']}/{event['model'] or '-'}  "
            f"{event['outcome']}  in={event['input_tokens']} out={event['output_tokens']}  {cost}  {event['quality']}"
        )
        click.echo(printing.line(told))
