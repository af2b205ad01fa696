"""`tollkeeper usage`: who used how much of what, at what cost."""

import click

from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.operator.usage import stretch
from tollkeeper.stores.sqlite.reports import GROUPS

_NEVER_CUT = 10_000


@click.command()
@click.option("--by", type=click.Choice(GROUPS), default="key", show_default=True)
@click.option("--since", help="A date or time (UTC if no zone is given).")
@click.option("--until", help="A date or time.")
@common
def usage(options: Common, by: str, since: str | None, until: str | None) -> None:
    """Sum tokens and cost."""
    rows = options.sums().usage(by, *stretch(since, until, prefix="--"))
    if options.json:
        print_json([row.as_dict(by) for row in rows])
        return
    from rich.console import Console  # for people only
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(by, no_wrap=True)
    headings = ("requests", "attempts", "input", "cached", "output", "reasoning", "USD", "unpriced", "hits", "saved")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        group = row.group or "-"
        numbers = (row.requests, row.attempts, row.input_tokens, row.cached_input_tokens, row.output_tokens)
        table.add_row(
            f"{row.name} ({group})" if row.name else group,
            *map(str, numbers),
            str(row.reasoning_tokens),
            row.cost_usd,
            str(row.unpriced),
            str(row.cached_requests),
            row.saved_usd,
        )
    # Names are printed as they are: brackets and colons in them are not rich's markup. No number is cut to fit a terminal.
    Console(highlight=False, markup=False, emoji=False, width=_NEVER_CUT).print(table)
