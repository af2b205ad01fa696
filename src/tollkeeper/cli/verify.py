"""`tollkeeper verify`: the ledger proves itself, and shows how."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tollkeeper.cli.options import EXIT_FAILED, Common, common, print_json
from tollkeeper.cli.reconciling import BUCKETS, Asked, reconcile
from tollkeeper.core.budget import FOREVER
from tollkeeper.core.money import usd_from_nano
from tollkeeper.core.past import Spending
from tollkeeper.stores.sqlite import proof
from tollkeeper.stores.sqlite.proof import Proof


@click.command()
@click.option("--export", type=click.Path(path_type=Path), help="Compare with a provider's usage export instead.")
@click.option("--provider", help="Whose export it is, as the configuration names it.")
@click.option("--columns", help="Columns of another CSV: time=Date,model=Model,input=In,output=Out,cost=USD.")
@click.option(
    "--bucket", type=click.Choice(tuple(BUCKETS)), default="day", show_default=True, help="For single requests."
)
@click.option("--tolerance", type=click.FloatRange(0, 100), default=0.0, help="Percent that figures may differ.")
@common
def verify(
    options: Common,
    export: Path | None,
    provider: str | None,
    columns: str | None,
    bucket: str,
    tolerance: float,
) -> None:
    """Check that the ledger is whole and adds up. Exits with 1 and says what does not if anything does not."""
    if export is not None:
        reconcile(options, Asked(export, provider, columns, bucket, tolerance))
        return
    if provider is not None or columns is not None:
        raise click.UsageError("--provider and --columns are about an --export.")
    with _watched() as progress:
        found = proof.prove(options.stored_home(), int(time.time() * 1000), progress)
    reports = options.reports()
    totals = reports.totals()
    if options.json:
        print_json(_as_json(found, totals))
    else:
        for problem in found.problems:
            click.echo(problem, err=True)
        if found.more_problems:
            click.echo(f"... and {found.more_problems} more", err=True)
        for line in _told(found, totals):
            click.echo(line)
        click.echo("The ledger adds up." if found.sound else "The ledger does not add up.")
    if not found.sound:
        raise SystemExit(EXIT_FAILED)


@contextmanager
def _watched() -> Iterator[proof.Progress]:
    """A bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield proof.no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("file")
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)


def _as_json(found: Proof, totals: tuple[int, int, int]) -> dict[str, Any]:
    events, tokens, nano = totals
    costs = found.costs
    return {
        "ok": found.sound,
        "problems": found.problems,
        "more_problems": found.more_problems,
        "events": events,
        "tokens": tokens,
        "cost_usd": usd_from_nano(nano),
        "open_holds": found.open_holds,
        "detail": {
            "events": found.events,
            "kept_from": _moment(found.kept_from) if found.kept_from else None,
            "costs_made_again": costs.made_again,
            "nothing_charged": costs.nothing,
            "unpriced": costs.unpriced,
            "without_noted_prices": costs.without_prices,
        },
        "hours_compared": found.hours,
        "admissions": found.admissions,
        "budgets": [_window(window) for window in found.windows],
        "more_budgets": found.more_windows,
        "overdrafts": found.overdrafts,
        "more_overdrafts": found.more_overdrafts,
    }


def _window(window: Spending) -> dict[str, Any]:
    return {
        "budget": window.id,
        "from": _moment(window.start),
        "until": None if window.end == FOREVER else _moment(window.end),
        "amount": _amount(window, window.amount),
        "admitted": window.admitted,
        "spent": _amount(window, window.spent),
        "peak": _amount(window, window.peak),
        "peak_at": _moment(window.peak_at) if window.peak_at else None,
        "overdrafts": window.overdrafts,
        "overdrawn": _amount(window, window.overdrawn),
    }


def _told(found: Proof, totals: tuple[int, int, int]) -> Iterator[str]:
    events, tokens, nano = totals
    yield f"{events} events, {tokens} tokens, {usd_from_nano(nano)} USD, {found.open_holds} open holds"
    costs = found.costs
    parts = [
        f"{costs.made_again} times their tokens at the prices noted with them",
        f"{costs.nothing} with nothing to charge",
        f"{costs.unpriced} unpriced",
        f"{costs.without_prices} without noted prices",
    ]
    yield f"Costs:   {', '.join(parts)}."
    deleted = f", of what began since {_moment(found.kept_from)}" if found.kept_from else ""
    yield f"Sums:    {found.hours} hours compared with their events{deleted}."
    overdrafts = sum(window.overdrafts for window in found.windows)
    yield f"Budgets: {found.admissions} admissions gone through again, {overdrafts} overdrafts."
    for window in found.windows[-20:]:
        until = "for ever" if window.end == FOREVER else f"until {_moment(window.end)}"
        unit = "USD" if window.unit == "usd" else "tokens"
        yield (
            f"  {window.id} from {_moment(window.start)} {until}: {_amount(window, window.amount)} {unit}, "
            f"{_amount(window, window.spent)} spent, {_amount(window, window.peak)} spent and held at most"
        )
    more = len(found.windows) - 20 + found.more_windows
    if more > 0:
        yield f"  and {more} windows more"
    for overdraft in found.overdrafts[:20]:
        yield f"  overdraft: {overdraft}"


def _amount(window: Spending, amount: int) -> str:
    return usd_from_nano(amount) if window.unit == "usd" else str(amount)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
