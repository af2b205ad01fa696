"""`tollkeeper explain`: what became of one request and why."""

from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.operator.explain import checked, explained, looked_up

_NEVER_CUT = 10_000


@click.command()
@click.argument("request_id")
@common
def explain(options: Common, request_id: str) -> None:
    """Explain the request with this x-request-id: rules, targets, attempts, cost."""
    told = explained(looked_up(options.reports(), checked(request_id)))
    if options.json:
        print_json(told)
        return
    _print(told)


def _print(told: dict[str, Any]) -> None:
    # Names are printed as they are: brackets and colons in them are not rich's markup. No number is cut to fit a terminal.
    console = Console(highlight=False, markup=False, emoji=False, width=_NEVER_CUT)
    console.print(Text(f"Request {told['request_id']}", "bold"))
    key, asked = told["key"], told["asked"]
    facts = _grid()
    facts.add_row("when", told["time"])
    facts.add_row("key", _words(key["id"], key["name"] and f"({key['name']})", _is("owner", key), _is("team", key)))
    facts.add_row("asked", _words(asked["operation"], asked["model"], "as a stream" if asked["streamed"] else None))
    facts.add_row("state", _state(told))
    console.print(facts)
    _section(console, "Rules", [(rule["rule"], _rule(rule)) for rule in told["rules"]])
    _section(
        console,
        "Targets",
        [
            (target["target"], f"{'' if target['chosen'] else 'skipped: '}{target['reason']}")
            for target in told["targets"]
        ],
    )
    for attempt in told["attempts"]:
        console.print(
            Text(f"\nAttempt {attempt['attempt']}: {attempt['provider']}/{attempt['model'] or '-'}", "bold"), end=""
        )
        console.print(f"  {_words(attempt['outcome'], attempt['status'] or None, attempt['error_code'])}")
        details = _grid()
        details.add_row("time", _timing(attempt))
        if attempt["model_used"]:
            details.add_row("answered by", attempt["model_used"])
        if attempt["held_usd"] is not None:
            details.add_row("held", f"{attempt['held_usd']} USD")
        details.add_row("figures", _figures(attempt))
        console.print(details)
        _print_cost(console, attempt["cost"])
    for hold in told["under_way"]:
        console.print(
            Text(f"\nAttempt {hold['attempt']}: {hold['provider']}/{hold['model'] or '-'}", "bold"),
            f" under way since {hold['started']}, until {hold['expires']} at the latest",
        )


def _print_cost(console: Console, cost: dict[str, Any]) -> None:
    total = "unpriced" if cost["usd"] is None else f"{cost['usd']} USD"
    if cost["lines"] is None:
        console.print(f"  cost  {total}: {cost['why']}")
        return
    console.print(f"  cost  {total}, at the prices of {cost['price_version']}")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    for _ in range(5):
        table.add_column(justify="right", no_wrap=True)
    for line in cost["lines"]:
        unit = f"{line['usd_each']} USD each" if "usd_each" in line else f"{line['usd_per_million']} USD a million"
        as_other = f" (as {line['priced_as']})" if "priced_as" in line else ""
        table.add_row("   ", f"{line['kind']}{as_other}", str(line["count"]), "x", unit, f"= {line['usd']}")
    if cost["rounding_usd"] != "0":
        table.add_row("   ", "rounding", "", "", "", f"= {cost['rounding_usd']}")
    console.print(table)
    if not cost["adds_up"]:
        console.print(Text("  These lines do not add up to the cost.", "bold red"))


def _section(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        console.print(Text(f"\n{title}", "bold"))
        table = _grid()
        for name, words in rows:
            table.add_row(name, words)
        console.print(table)


def _grid() -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True, style="dim")
    table.add_column("", no_wrap=True)
    return table


def _words(*parts: object) -> str:
    return " ".join(str(part) for part in parts if part)


def _is(name: str, key: dict[str, Any]) -> str | None:
    return f"{name} {key[name]}" if key[name] else None


def _state(told: dict[str, Any]) -> str:
    cost = f"{told['cost_usd']} USD" + (f" and {told['unpriced']} unpriced" if told["unpriced"] else "")
    saved = f", saved {told['saved_usd']} USD" if told["saved_usd"] != "0" else ""
    attempts = len(told["attempts"])
    parts = [f"{attempts} attempt{'s' * (attempts != 1)}, {cost}{saved}" if attempts else ""]
    refusal = told["refusal"]
    if refusal is not None:
        parts.append(f"refused: {_words(refusal['status'], refusal['code'])}: {refusal['message']}")
    if told["under_way"]:
        parts.append("still under way")
    return "; ".join(part for part in parts if part)


def _rule(rule: dict[str, Any]) -> str:
    match rule["rule"]:
        case "limit" if "id" in rule:
            words = f"{rule['id']}: {rule['amount']}, {rule['remaining_before']} left before, {rule['taken']} taken"
        case "budget" if "id" in rule:
            words = (
                f"{rule['id']}: {rule['amount']} {rule['unit']}, {rule['spent']} spent and {rule['held']} held before, "
                f"{rule.get('adaptive_held', rule['ceiling'])} held for this"
            )
        case "cache" if "result" in rule:
            words = f"{rule['result']}, saved {rule['saved_usd']} USD" if rule["result"] == "hit" else rule["result"]
        case _:
            words = " ".join(str(value) for name, value in rule.items() if name not in ("rule", "values"))
    return _words(words, *rule.get("values", ()))


def _timing(attempt: dict[str, Any]) -> str:
    first = attempt["first_byte_ms"]
    answered = "no answer" if first is None else f"first byte after {first} ms"
    return (
        f"{attempt['started']}, {answered}, {attempt['duration_ms']} ms in all, {attempt['overhead_ms']} ms the gate's"
    )


def _figures(attempt: dict[str, Any]) -> str:
    tokens = ", ".join(f"{name} {number}" for name, number in attempt["usage"].items() if number)
    return f"{attempt['quality']}: {tokens or 'no tokens'}"
