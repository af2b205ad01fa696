"""`tollkeeper run`: a file of prompts in, a file of answers out."""

import asyncio
import gc
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import fastjsonschema
import msgspec
import uvloop

from tollkeeper.apis import schemas
from tollkeeper.bulk import answers, connecting, progress, report
from tollkeeper.bulk.batches.kinds import KINDS
from tollkeeper.bulk.batches.running import Batching
from tollkeeper.bulk.caps import KeyCap, Tally
from tollkeeper.bulk.failures import HELD
from tollkeeper.bulk.job import Job, Outcome, Plan, journal_of
from tollkeeper.bulk.running import Running
from tollkeeper.bulk.samples import Sample, Samples, runs_of
from tollkeeper.bulk.shaping import CHAT, EMBEDDINGS, Shape
from tollkeeper.bulk.tries import Ask, Limits
from tollkeeper.cli import forecasting, printing
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.money import nano_from_usd, usd_from_nano
from tollkeeper.core.template import Template

EXIT_STOPPED = 5
EXIT_SPENT = 6
EXIT_SOME_FAILED = 8
EXIT_INTERRUPTED = 130
_MOST_SAID = 500
_EXITS = {"complete": 0, "some_failed": EXIT_SOME_FAILED, "stopped": EXIT_STOPPED, "interrupted": EXIT_INTERRUPTED}
_SPENT = ("budget_exceeded", HELD)
_KINDS = click.Choice(["jsonl", "csv", "parquet"])
_PATH = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(0, min_open=True)


@click.command()
@click.argument("input", type=click.Path(path_type=Path, allow_dash=True))
@click.option("-o", "--output", type=_PATH, required=True, help="Where the answers go: .jsonl, .csv or .parquet.")
@click.option("--model", help="Model, where a row names none.")
@click.option("--prompt", type=_PATH, help="A file whose `{{ column }}`s are filled from each row.")
@click.option("--system", type=_PATH, help="The same, for a system message before each prompt.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A request parameter: temperature=0.")
@click.option("--schema", type=_PATH, help="A JSON Schema that every answer must follow.")
@click.option("--embeddings", is_flag=True, help="Ask for embeddings in place of chat.")
@click.option("--format", "input_format", type=_KINDS, help="What the input is, where its suffix does not say.")
@click.option("--output-format", type=_KINDS, help="What the output shall be, where its suffix does not say.")
@click.option("--escape-formulas", is_flag=True, help="In CSV, keep spreadsheets from running answers as formulas.")
@click.option("--concurrency", type=click.IntRange(1), default=100, show_default=True, help="Calls at once, at most.")
@click.option("--rpm", type=_POSITIVE, help="Requests a minute, at most.")
@click.option("--tpm", type=_POSITIVE, help="Tokens a minute, at most.")
@click.option("--timeout", type=_POSITIVE, help="Seconds for one try.")
@click.option("--attempts", type=click.IntRange(1), default=8, show_default=True, help="Tries a row, rates apart.")
@click.option("--max-cost", metavar="USD", help="Never spend more than this, over all runs of the job.")
@click.option("--max-errors", type=click.IntRange(0), help="Stop when more rows than this have failed.")
@click.option("--sample", type=click.IntRange(1), help="Only the first N rows.")
@click.option("--dry-run", is_flag=True, help="Only say what it will take; --sample N then asks N rows really.")
@click.option("--watch", is_flag=True, help="Only show how the job comes along that another process runs.")
@click.option("--resume", is_flag=True, help="Go on with a job that was begun.")
@click.option("--retry-failed", is_flag=True, help="Ask rows again that failed; implies --resume.")
@click.option("--force", is_flag=True, help="Go on although the job is not the one that was begun.")
@click.option("--batch", type=click.Choice(KINDS), help="By the provider's batch API: at half the price, within a day.")
@click.option("--batch-rows", type=click.IntRange(1), help="Rows in one batch, at most.")
@click.option("--batch-poll", type=_POSITIVE, default=30.0, show_default=True, help="Seconds between looks at a batch.")
@click.option("--report", type=_PATH, help="Write an HTML page with plots of how it went.")
@click.option("--gate", metavar="URL", help="Ask through a running gate; its key is in TOLLKEEPER_KEY.")
@click.option("--key", "key_name", default="bulk", show_default=True, help="Whose budgets and ledger rows these are.")
@common
def run(
    options: Common,
    input: Path,
    output: Path,
    gate: str | None,
    key_name: str,
    watch: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Ask a model every prompt of a file. INPUT is JSON lines, CSV or Parquet; - is standard input."""
    if watch:
        forecasting.watch(options, journal_of(output))
        return
    plan, check = _plan(input, output, given)
    if dry_run:
        with _kept(plan) as readable:
            uvloop.run(forecasting.foresee(options, readable, given["sample"], gate, key_name))
        return
    most = _most(given["max_cost"])
    if given["batch"] is not None and gate is not None:
        raise CallerError("--batch asks the provider itself, not a gate.", code="invalid_value", param="gate")
    secret = os.environ.get("TOLLKEEPER_KEY", "")
    if gate is not None and not secret:
        raise CallerError("The gate's key is missing: set TOLLKEEPER_KEY.", status=401, code="invalid_api_key")

    async def asked_gate(stack: AsyncExitStack, job: Job) -> Ask:
        assert gate is not None
        ask = await stack.enter_async_context(connecting.through_gate(gate, secret))
        return ask if most is None else Tally(ask, most, job.journal.totals().cost_nano)

    async def in_process(stack: AsyncExitStack, job: Job) -> Ask:
        opened = connecting.in_process(options.config, options.stored_home(), key_name, output.name)
        app, engine = await stack.enter_async_context(opened)
        if most is not None:
            key = engine.key
            cap = KeyCap(most, job.journal, lambda: connecting.spent(app, key))
            engine.key = await cap.begin(key)
            stack.push_async_callback(lambda: cap.end(whole=not job.running.left))
        if isinstance(job.running, Batching):
            connecting.batching(app, engine, job.running, given["batch"], given["batch_poll"], given["model"])
        return engine

    connect = in_process if gate is None else asked_gate
    outcome, runs = uvloop.run(_run(plan, check, connect, options.json))
    if given["report"] is not None:
        _report(given["report"], plan, outcome, runs)
    _summary(options, plan, outcome)
    spent = outcome.ending == "stopped" and (outcome.why or "").partition(":")[0] in _SPENT
    if spent and most is not None and gate is None and not options.json:
        click.echo(
            "--max-cost is a budget on top of what the key had spent before; --set max_tokens=N has less set aside."
        )
    raise SystemExit(EXIT_SPENT if spent else _EXITS[outcome.ending])


async def _run(
    plan: Plan, check: answers.Check | None, connect: Callable[[AsyncExitStack, Job], Awaitable[Ask]], as_json: bool
) -> tuple[Outcome, list[list[Sample]]]:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        job = Job(
            plan,
            check=check,
            now=time.time,
            monotonic=time.monotonic,
            uniform=random.uniform,
        )
        stack.callback(job.close)
        ask = await connect(stack, job)
        if isinstance(job.running, Running):
            job.running.ask = ask
        if job.at_risk:
            click.echo(
                f"Up to {job.at_risk} rows were under way when this job ended last; they may be paid for twice.",
                err=True,
            )
        shown = progress.Progress(job.running, job.begun_before, None, json=as_json, stream=progress.standard())
        counting = loop.run_in_executor(None, job.count)
        counting.add_done_callback(lambda done: setattr(shown, "total", None if done.exception() else done.result()))

        def interrupt() -> None:
            if job.running.stopped is None:
                click.echo("Stopping: calls under way end first. Once more to cut them.", err=True)
                job.running.stop("interrupted")
            else:
                job.running.abandon()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        samples = Samples()
        looking = loop.create_task(_look(shown, samples, job))
        gc.collect()
        gc.freeze()  # what start-up made stays
        gc.set_threshold(20_000, 20, 50)  # rows leave no circles behind; see cli/serve.py
        try:
            outcome = await job.run()
        finally:
            looking.cancel()
            shown.end()
        running = job.running
        samples.look(time.time(), running.counts, running.under_way, running.concurrency, last=True)
        samples.keep(job.journal)
        return outcome, runs_of(job.journal)


async def _look(shown: progress.Progress, samples: Samples, job: Job) -> None:
    running = job.running
    while True:
        samples.look(time.time(), running.counts, running.under_way, running.concurrency, last=False)
        await asyncio.sleep(progress.EVERY)
        shown.look()


def _plan(input: Path, output: Path, given: dict[str, Any]) -> tuple[Plan, answers.Check | None]:
    """Raises CallerError where the options do not fit each other or a file that they name is not right."""
    prompt, system, schema_text = (_text(given[name]) for name in ("prompt", "system", "schema"))
    parameters = dict(_setting(text) for text in given["settings"])
    schema, check = _schema(schema_text)
    shape = Shape(
        model=given["model"],
        endpoint=EMBEDDINGS if given["embeddings"] else CHAT,
        prompt=Template(prompt) if prompt is not None else None,
        system=Template(system) if system is not None else None,
        parameters=parameters,
        schema=schema,
    )
    piped = str(input) == "-"
    about = {
        "model": given["model"],
        "endpoint": shape.endpoint,
        "prompt": prompt,
        "system": system,
        "parameters": parameters,
        "schema": schema,
        "sample": given["sample"],
        "batch": given["batch"],
    }
    plan = Plan(
        input=output.with_name(output.name + ".input") if piped else input,
        incoming=sys.stdin.buffer if piped else None,
        output=output,
        shape=shape,
        about=about,
        limits=Limits(
            concurrency=given["concurrency"],
            timeout=given["timeout"],
            attempts=given["attempts"],
            max_errors=given["max_errors"],
        ),
        rpm=given["rpm"],
        tpm=given["tpm"],
        input_format=given["input_format"] or ("jsonl" if piped else None),
        output_format=given["output_format"],
        sample=given["sample"],
        escape=given["escape_formulas"],
        resume=given["resume"] or given["retry_failed"],
        retry_failed=given["retry_failed"],
        force=given["force"],
        batch=given["batch"],
        batch_rows=given["batch_rows"],
    )
    return plan, check


@contextmanager
def _kept(plan: Plan) -> Iterator[Plan]:
    """The plan, of standard input with a copy that goes when it has been looked at: a job's own stays as it is."""
    if plan.incoming is None:
        yield plan
        return
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(plan.incoming, copy)
        copy.flush()
        yield msgspec.structs.replace(plan, input=Path(copy.name), incoming=None)


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CallerError(f"{path} cannot be read: {error}.", code="input_unreadable") from None


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise CallerError(f"--set takes NAME=VALUE, not '{text}'.", code="invalid_value", param="set")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _schema(text: str | None) -> tuple[dict[str, Any] | None, answers.Check | None]:
    if text is None:
        return None, None
    try:
        schema = msgspec.json.decode(text, type=dict[str, Any])
        compiled = schemas.check(schema)
    except (msgspec.DecodeError, schemas.BadSchema) as error:
        raise CallerError(f"The schema is not valid: {error}.", code="invalid_schema") from None

    def check(value: Any) -> None:
        try:
            compiled(value)
        except fastjsonschema.JsonSchemaValueException as error:
            raise ValueError(error.message) from None

    return schema, check


def _most(text: str | None) -> int | None:
    """--max-cost in nano-USD. Raises CallerError."""
    if text is None:
        return None
    try:
        most = nano_from_usd(Decimal(text))
    except (ArithmeticError, ValueError):
        most = 0
    if most <= 0:
        raise CallerError(f"--max-cost takes an amount in USD, not '{text}'.", code="invalid_value", param="max_cost")
    return most


def _report(path: Path, plan: Plan, outcome: Outcome, runs: list[list[Sample]]) -> None:
    totals = outcome.totals
    seconds = sum(run[-1].at - run[0].at for run in runs if run)
    numbers = [
        ("rows", f"{outcome.rows:,}"),
        ("answered", f"{totals.rows - totals.failed:,}"),
        ("failed", f"{totals.failed:,}"),
        ("not run", f"{outcome.rows - totals.rows:,}"),
        ("calls", f"{totals.attempts:,}"),
        ("USD", usd_from_nano(totals.cost_nano)),
        ("tokens", f"{sum(run[-1].tokens for run in runs if run):,}"),
        ("under way", progress.span(seconds)),
    ]
    below = f"Model {plan.shape.model or 'named by each row'}; {outcome.ending.replace('_', ' ')}"
    facts = report.Facts(plan.output.name, f"{below}{': ' + outcome.why if outcome.why else ''}.", numbers)
    try:
        report.write(path, facts, runs)
    except OSError as error:
        raise GateError(f"{path} cannot be written: {error.strerror}.", code="output_unwritable") from None


def _summary(options: Common, plan: Plan, outcome: Outcome) -> None:
    totals = outcome.totals
    if options.json:
        print_json(
            {
                "ending": outcome.ending,
                "why": outcome.why,
                "output": str(plan.output),
                "rows": outcome.rows,
                "answered": totals.rows - totals.failed,
                "failed": totals.failed,
                "not_run": outcome.rows - totals.rows,
                "attempts": totals.attempts,
                "cost_usd": usd_from_nano(totals.cost_nano),
            }
        )
        return
    click.echo(
        f"{plan.output}: {outcome.rows:,} rows, {totals.rows - totals.failed:,} answered, {totals.failed:,} failed."
    )
    click.echo(f"{totals.attempts:,} calls, {usd_from_nano(totals.cost_nano)} USD.")
    if outcome.first_failure is not None:
        click.echo(printing.line(f"The first to fail: {outcome.first_failure[:_MOST_SAID]}"))
    if outcome.why is not None:
        click.echo(f"Stopped: {outcome.why.removesuffix('.')}. Run it again with --resume to go on.")
