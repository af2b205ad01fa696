"""`tollkeeper run --dry-run` and `--watch`: what a job will take, and how far one is that another process runs."""

import asyncio
import os
import random
import time
from functools import partial
from pathlib import Path

import click
import msgspec

from tollkeeper.bulk import connecting, forecast, reading, watching
from tollkeeper.bulk.forecast import Answered, Chosen, Forecast, Range
from tollkeeper.bulk.job import Plan
from tollkeeper.bulk.progress import span
from tollkeeper.bulk.shaping import Request
from tollkeeper.bulk.tries import Ask
from tollkeeper.cli.options import Common, print_json
from tollkeeper.core.money import usd_from_nano
from tollkeeper.dialects import openai_answers
from tollkeeper.metering.counter import TokenCounter

_SEED = 0
"""Two forecasts of one job are the same."""


async def foresee(options: Common, plan: Plan, sample: int | None, gate: str | None, key: str) -> None:
    """Prints what the job will take; asks `sample` rows really."""
    draw = random.Random(_SEED)
    found = Chosen(reading.records(plan.input, plan.input_format), plan.shape, draw)
    asked = found.requests[:sample] if sample else []
    answered: list[Answered] = []
    if gate is not None:
        async with connecting.through_gate(gate, os.environ.get("TOLLKEEPER_KEY", "")) as through:
            answered = await _asked(through, asked, plan.limits.concurrency)
        told = _forecast(plan, found, answered, lambda _: None, draw)
    else:
        opened = connecting.in_process(options.config, options.stored_home(), key, plan.output.name)
        async with opened as (app, engine):
            price_of = partial(connecting.price_of, app, batch=plan.batch)
            answered = await _asked(engine, asked, plan.limits.concurrency, price_of if plan.batch else None)
            told = _forecast(plan, found, answered, price_of, draw)
    if options.json:
        print_json(msgspec.to_builtins(told))
    else:
        _show(told, plan.batch)


def _forecast(
    plan: Plan, found: Chosen, answered: list[Answered], price_of: forecast.PriceOf, draw: random.Random
) -> Forecast:
    return forecast.forecast(
        found,
        answered,
        count=TokenCounter(),
        price_of=price_of,
        concurrency=plan.limits.concurrency,
        rpm=plan.rpm,
        tpm=plan.tpm,
        timed=plan.batch is None,
        draw=draw,
    )


async def _asked(
    ask: Ask, requests: list[Request], at_once: int, price_of: forecast.PriceOf | None = None
) -> list[Answered]:
    """The rows of these that were answered; with `price_of` they cost what that says, not what was paid for them."""
    room = asyncio.Semaphore(at_once)

    async def one(request: Request) -> Answered | None:
        async with room:
            began = time.monotonic()
            answer = await ask(request, 1)
        if answer.status != 200:
            return None
        try:
            reported = openai_answers.read(answer.body).reported
        except ValueError:
            return None
        if reported is None:
            return None
        usage, cost = reported.usage, answer.cost_nano
        if price_of is not None:
            price = price_of(str(msgspec.json.decode(request.body)["model"]))
            cost = None if price is None else price.cost(usage)
        return Answered(usage.input_tokens, usage.output_tokens, cost, time.monotonic() - began)

    return [each for each in await asyncio.gather(*map(one, requests)) if each is not None]


def _show(told: Forecast, batch: str | None) -> None:
    click.echo(f"{told.rows:,} rows, {told.broken:,} of them cannot be asked.")
    click.echo(f"From {told.sampled:,} rows" + (f", {told.answered:,} of them asked" if told.answered else "") + ":")
    unknown = "not known: --set max_tokens=N bounds it, --sample N asks some rows"
    for name, value in (("input tokens", told.input_tokens), ("output tokens", told.output_tokens)):
        click.echo(f"  {name}: {_range(value) if value is not None else unknown}")
    cost = "not known" if told.cost_usd is None else f"{told.cost_usd[0]} USD (p90 {told.cost_usd[1]})"
    click.echo(f"  cost: {cost}")
    time_ = "not known" if batch is None else "as long as the provider's batches take: a day at most"
    if told.seconds is not None:
        time_ = f"{span(told.seconds.p50)} (p90 {span(told.seconds.p90)})"
    click.echo(f"  time: {time_}")


def _range(value: Range) -> str:
    return f"{value.p50:,.0f} (p90 {value.p90:,.0f})"


def watch(options: Common, journal: Path) -> None:
    """Prints how the job comes along until nobody runs it. Raises CallerError (404) where there is none."""
    first = None
    for seen in watching.looks(journal):
        first = first or seen
        rate = watching.per_second(first, seen)
        cost = usd_from_nano(seen.cost_nano)
        if options.json:
            facts = {"rows": seen.rows, "failed": seen.failed, "attempts": seen.attempts, "cost_usd": cost}
            click.echo(msgspec.json.encode({"running": seen.running, **facts, "rows_per_second": round(rate, 1)}))
        else:
            speed = "" if seen is first else f" · {rate:,.1f}/s"  # of one look alone there is none
            state = "" if seen.running else "\nNobody runs the job: it has ended, or goes on with --resume."
            click.echo(f"{seen.rows:,} rows{speed} · {seen.failed:,} failed · {cost} USD{state}")
