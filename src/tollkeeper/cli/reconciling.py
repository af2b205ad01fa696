"""`tollkeeper verify --export`: a provider's own usage export beside the ledger, line by line."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from tollkeeper.cli.options import EXIT_FAILED, Common, print_json
from tollkeeper.core.errors import CallerError
from tollkeeper.core.money import usd_from_nano
from tollkeeper.metering.exports import columns, reading
from tollkeeper.metering.exports.comparison import Compared, Comparison, Difference, Ours
from tollkeeper.metering.exports.lines import Export
from tollkeeper.stores.sqlite.billed import Bills

BUCKETS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_NEVER_CUT = 10_000


class Asked(msgspec.Struct, frozen=True):
    """The options of one comparison."""

    export: Path
    provider: str | None
    columns: str | None
    bucket: str
    tolerance: float


def reconcile(options: Common, asked: Asked) -> None:
    """Compares and prints. Exits with 1 where a figure differs by more than the tolerance."""
    mapped = None if asked.columns is None else columns.parsed(asked.columns)
    export = reading.read(asked.export, mapped)
    comparison = Comparison(BUCKETS[asked.bucket], asked.tolerance)
    for line in export.lines:
        comparison.theirs(line)
    with closing(Bills(options.stored_home())) as bills:
        provider = _provider(asked, export, bills.providers())
        span = comparison.span
        if span is not None:
            for billed in bills.by_minute(provider, *span):
                comparison.ours(Ours(**msgspec.structs.asdict(billed)))
        for request_id, billed in bills.by_request(provider, comparison.request_ids):
            comparison.ours(Ours(request_id=request_id, **msgspec.structs.asdict(billed)))
        if comparison.stretch is not None:  # from the first to the last that it names, it should have named all
            for request_id, billed in bills.between(provider, *comparison.stretch):
                comparison.ours(Ours(request_id=request_id, **msgspec.structs.asdict(billed)))
    lines = list(comparison.lines())
    if not lines:
        raise CallerError("The export has no line to compare.", code="invalid_export")
    if not any(line.figures for line in lines):
        raise CallerError("The export has no figure to compare.", code="invalid_export")
    totals = comparison.total(lines)
    agree = all(line.within for line in lines)
    if options.json:
        print_json(
            {
                "ok": agree,
                "format": export.format,
                "provider": provider,
                "tolerance_percent": asked.tolerance,
                "remarks": export.remarks,
                "lines": [_as_json(line) for line in lines],
                "totals": [_figure(figure) for figure in totals],
            }
        )
    else:
        _print(export, provider, lines, totals)
        click.echo("The export and the ledger agree." if agree else "The export and the ledger differ.")
    if not agree:
        raise SystemExit(EXIT_FAILED)


def _provider(asked: Asked, export: Export, known: list[str]) -> str:
    """--provider; or what the export's provider is called as a rule; or the only one there is."""
    if asked.provider is not None:
        if asked.provider not in known:
            raise CallerError(f"The ledger has no events of a provider '{asked.provider}'.", code="invalid_value")
        return asked.provider
    if export.provider in known and export.provider is not None:
        return export.provider
    if len(known) == 1:
        return known[0]
    raise CallerError(
        f"Say with --provider whose export it is: {', '.join(known) or 'the ledger has no events'}.",
        code="invalid_value",
    )


def _print(export: Export, provider: str, lines: list[Compared], totals: list[Difference]) -> None:
    from rich.console import Console  # for people only
    from rich.table import Table

    click.echo(f"{export.format}, compared with what {provider} was asked for")
    for remark in export.remarks:
        click.echo(f"Remark: {remark}", err=True)
    table = Table(box=None, pad_edge=False)
    for heading in ("from", "model", "figure"):
        table.add_column(heading, no_wrap=True)
    for heading in ("ours", "theirs", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in lines:
        where = (_moment(line.start) if line.request_id is None else line.request_id, line.model or "all")
        for figure in line.figures:
            table.add_row(*where, *_cells(figure), _remark(line, figure))
            where = ("", "")
    for figure in totals:
        table.add_row("total", "", *_cells(figure), "" if figure.difference == 0 else _percent(figure))
    # Names are printed as they are: brackets and colons in them are not rich's markup. No number is cut to fit a terminal.
    Console(highlight=False, markup=False, emoji=False, width=_NEVER_CUT).print(table)


def _cells(figure: Difference) -> tuple[str, str, str, str]:
    shown = [_shown(figure, number) for number in (figure.ours, figure.theirs, figure.difference)]
    sign = "+" if figure.difference > 0 else ""
    return _name(figure), shown[0], shown[1], "" if figure.difference == 0 else sign + shown[2]


def _remark(line: Compared, figure: Difference) -> str:
    if figure.within:
        return ""
    parts = [{"ours": "not in the ledger", "theirs": "not in the export"}.get(line.missing or "", "differs")]
    if line.estimated:
        parts.append(f"{line.estimated} of ours are estimates")
    if line.unpriced and figure.field == "cost_nano":
        parts.append(f"{line.unpriced} of ours are unpriced")
    return ", ".join(parts)


def _percent(figure: Difference) -> str:
    return f"{100 * figure.difference / max(figure.ours, figure.theirs):+.4f} %"


def _as_json(line: Compared) -> dict[str, Any]:
    return {
        "from": _moment(line.start),
        "until": None if line.end is None else _moment(line.end),
        "model": line.model,
        "request_id": line.request_id,
        "within": line.within,
        "missing": line.missing,
        "estimated": line.estimated,
        "unpriced": line.unpriced,
        "figures": [_figure(figure) for figure in line.figures],
    }


def _figure(figure: Difference) -> dict[str, Any]:
    numbers: Iterator[tuple[str, int]] = iter(
        (("ours", figure.ours), ("theirs", figure.theirs), ("difference", figure.difference))
    )
    money = figure.field == "cost_nano"
    return {
        "figure": _name(figure),
        **{name: usd_from_nano(number) if money else number for name, number in numbers},
        "within": figure.within,
    }


def _name(figure: Difference) -> str:
    return "cost_usd" if figure.field == "cost_nano" else figure.field


def _shown(figure: Difference, number: int) -> str:
    return usd_from_nano(number) if figure.field == "cost_nano" else str(number)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
